// Package doctest reads the repository's Markdown pages for tests that compare them with the
// code.
package doctest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Root returns the root of the repository that the test's folder is in.
func Root(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(git(t, "", "rev-parse", "--show-toplevel"))
}

// Git runs git at the root of the repository and returns what it prints.
func Git(t *testing.T, args ...string) string {
	t.Helper()
	return git(t, Root(t), args...)
}

func git(t *testing.T, folder string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "git", args...)
	command.Dir = folder
	out, err := command.Output()
	if err != nil {
		t.Fatalf("git %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// Files returns the files that git tracks, or would track, relative to the root.
func Files(t *testing.T) []string {
	t.Helper()
	root := Root(t)
	list := git(t, root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	files := strings.FieldsFunc(list, func(r rune) bool { return r == 0 })
	files = slices.DeleteFunc(files, func(file string) bool {
		_, err := os.Stat(filepath.Join(root, file))
		return err != nil
	})
	if len(files) < 500 {
		t.Fatalf("got %d tracked files, want at least 500", len(files))
	}
	return files
}

// A Page is a Markdown file of the repository.
type Page struct {
	Path  string // relative to the root
	Lines []Line
}

// A Line is a line of a page. Code marks the lines of code blocks, fences included.
type Line struct {
	Text string
	Code bool
}

var fence = regexp.MustCompile("^ *(```+|~~~+)")

// Pages returns every Markdown file of the repository.
func Pages(t *testing.T) (all []Page) {
	t.Helper()
	root := Root(t)
	for _, file := range Files(t) {
		if filepath.Ext(file) != ".md" {
			continue
		}
		content, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		p := Page{Path: file}
		open := "" // the fence of the code block that the line is in
		for _, text := range strings.Split(string(content), "\n") {
			mark := fence.FindStringSubmatch(text)
			code := open != "" || mark != nil
			switch {
			case open == "" && mark != nil:
				open = mark[1]
			case open != "" && strings.TrimSpace(text) == open:
				open = ""
			}
			p.Lines = append(p.Lines, Line{text, code})
		}
		if open != "" {
			t.Errorf("%s: a code block is not closed", file)
		}
		all = append(all, p)
	}
	if len(all) < 30 {
		t.Fatalf("got %d pages, want at least 30", len(all))
	}
	return all
}

var inlineCode = regexp.MustCompile("`[^`]*`")

// A Snippet is what a page shows as code: a span in a sentence, or a command of a code block.
type Snippet struct {
	Page string
	Text string
}

// Snippets returns the code of every page that describes the present. Lines of a block that end in
// a backslash are joined with the next one.
func Snippets(t *testing.T) (all []Snippet) {
	t.Helper()
	for _, p := range Pages(t) {
		// The licenses are of others, and the changelog names what is gone.
		if p.Path == "THIRD_PARTY_NOTICES.md" || p.Path == "CHANGELOG.md" {
			continue
		}
		var prose strings.Builder // spans may be wrapped
		joined := ""
		for _, line := range p.Lines {
			switch {
			case !line.Code:
				prose.WriteString(line.Text + "\n")
			case strings.HasSuffix(line.Text, `\`):
				joined += strings.TrimSuffix(line.Text, `\`) + " "
			case !fence.MatchString(line.Text):
				all = append(all, Snippet{p.Path, strings.TrimSpace(joined + line.Text)})
				joined = ""
			}
		}
		for _, span := range inlineCode.FindAllString(prose.String(), -1) {
			text := strings.Join(strings.Fields(strings.Trim(span, "`")), " ")
			all = append(all, Snippet{p.Path, text})
		}
	}
	return all
}

var (
	shellWord   = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"])+`)
	redirection = regexp.MustCompile(`^(2?>|<)`)
	assignment  = regexp.MustCompile(`^[A-Z_]+=`)
)

// Commands returns the words of each command in a line of shell code. It knows pipes, lists,
// redirections, comments and quotes, and drops the variables that are set for a command.
func Commands(line string) (all [][]string) {
	var words []string
	end := func() {
		for len(words) > 0 && assignment.MatchString(words[0]) {
			words = words[1:]
		}
		if len(words) > 0 {
			all = append(all, words)
		}
		words = nil
	}
	skip := false
	for _, word := range shellWord.FindAllString(line, -1) {
		switch {
		case skip:
			skip = false
		case strings.HasPrefix(word, "#"):
			end()
			return all
		case slices.Contains([]string{"|", "||", "&&", "&", ";"}, word):
			end()
		case word == ">" || word == ">>" || word == "<":
			skip = true
		case redirection.MatchString(word):
		default:
			words = append(words, strings.Trim(word, `'"`))
		}
	}
	end()
	return all
}

// programOf returns which program of ours a command runs, directly or in another way that the
// pages show, and its arguments.
func programOf(words []string) (name string, args []string) {
	for _, way := range []struct{ words, name string }{
		{"intray", "intray"}, {"./intray", "intray"}, {"bin/intray", "intray"},
		{"go run ./cmd/intray", "intray"},
		{"docker compose run --rm operator", "intray"},
		{"docker compose run --rm --no-deps operator", "intray"},
		{"docker compose run --rm consumers", "intray"},
		{"intray-bench", "intray-bench"}, {"bin/intray-bench", "intray-bench"},
		{"go run ./cmd/intray-bench", "intray-bench"},
		{"task bench --", "intray-bench"}, {"task up --", "intray up"},
	} {
		prefix := strings.Fields(way.words)
		if len(words) >= len(prefix) && slices.Equal(words[:len(prefix)], prefix) {
			names := strings.Fields(way.name)
			return names[0], append(names[1:], words[len(prefix):]...)
		}
	}
	// In a sentence "intray" is often left out.
	groups := []string{"ai", "deadletters", "events", "migrate", "provision", "reconcile", "users"}
	if len(words) > 1 && slices.Contains(groups, words[0]) {
		return "intray", words
	}
	return "", nil
}

// A CommandLine is one of a program of ours.
type CommandLine struct {
	Page string
	Args []string
}

// CommandLines returns the command lines of a program, intray or intray-bench, on all pages. It
// leaves out those in which a placeholder stands for the command.
func CommandLines(t *testing.T, program string) (all []CommandLine) {
	t.Helper()
	for _, s := range Snippets(t) {
		for _, words := range Commands(s.Text) {
			name, args := programOf(words)
			if name != program || len(args) > 0 && (args[0] == "COMMAND" || args[0] == "…") {
				continue
			}
			for i, arg := range args {
				args[i] = strings.Trim(arg, "[]") // optional
			}
			all = append(all, CommandLine{s.Page, args})
		}
	}
	return all
}
