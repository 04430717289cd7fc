package docs_test

import (
	"go/build"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A snippet is what a page shows as code: a span in a sentence, or a command of a code block.
type snippet struct {
	page string
	text string
}

// snippets returns the code of every page that describes the present. Lines of a block that end in
// a backslash are joined with the next one.
func snippets(t *testing.T) (all []snippet) {
	t.Helper()
	for _, p := range pages(t) {
		// The licenses are of others, and the changelog names what is gone.
		if p.path == "THIRD_PARTY_NOTICES.md" || p.path == "CHANGELOG.md" {
			continue
		}
		var prose strings.Builder // spans may be wrapped
		joined := ""
		for _, line := range p.lines {
			switch {
			case !line.code:
				prose.WriteString(line.text + "\n")
			case strings.HasSuffix(line.text, `\`):
				joined += strings.TrimSuffix(line.text, `\`) + " "
			case !fence.MatchString(line.text):
				all = append(all, snippet{p.path, strings.TrimSpace(joined + line.text)})
				joined = ""
			}
		}
		for _, span := range inlineCode.FindAllString(prose.String(), -1) {
			text := strings.Join(strings.Fields(strings.Trim(span, "`")), " ")
			all = append(all, snippet{p.path, text})
		}
	}
	return all
}

var (
	shellWord   = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"])+`)
	redirection = regexp.MustCompile(`^(2?>|<)`)
	assignment  = regexp.MustCompile(`^[A-Z_]+=`)
)

// commands returns the words of each command in a line of shell code. It knows pipes, lists,
// redirections, comments and quotes, and drops the variables that are set for a command.
func commands(line string) (all [][]string) {
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

func TestCommandsOfShellCode(t *testing.T) {
	for line, want := range map[string]string{
		`intray users list # all of them`:             "intray,users,list",
		`KEY=v OTHER="a b" intray provision`:          "intray,provision",
		`intray events list --json | jq -c . >f`:      "intray,events,list,--json;jq,-c,.",
		`intray x --reason "the provider was down" &`: "intray,x,--reason,the provider was down",
		`a && b > file; c`:                            "a;b;c",
	} {
		var got []string
		for _, words := range commands(strings.ReplaceAll(line, ";", " ;")) {
			got = append(got, strings.Join(words, ","))
		}
		if strings.Join(got, ";") != want {
			t.Errorf("%s: got %q, want %s", line, got, want)
		}
	}
}

// programs builds the programs of this module and returns their paths.
func programs(t *testing.T) map[string]string {
	t.Helper()
	folder := t.TempDir()
	run := exec.CommandContext(t.Context(), "go", "build", "-o", folder,
		"./cmd/intray", "./cmd/intray-bench")
	run.Dir = root
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", run, err, out)
	}
	return map[string]string{
		"intray":       filepath.Join(folder, "intray"),
		"intray-bench": filepath.Join(folder, "intray-bench"),
	}
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

// TestCommandsExist parses each command line of ours with the program itself: --help makes it
// stop once it knows the command and has read the flags.
func TestCommandsExist(t *testing.T) {
	paths := programs(t)
	seen := make(map[string]bool)
	for _, s := range snippets(t) {
		for _, words := range commands(s.text) {
			name, args := programOf(words)
			if name == "" || slices.Contains(args, "COMMAND") || slices.Equal(args, []string{"…"}) {
				continue
			}
			for i, arg := range args { // optional parts
				args[i] = strings.Trim(arg, "[]")
			}
			line := name + " " + strings.Join(args, " ")
			if seen[line] {
				continue
			}
			seen[line] = true
			run := exec.CommandContext(t.Context(), paths[name], append(args, "--help")...)
			if out, err := run.CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %v\n%s", s.page, line, err, out)
			}
		}
	}
	if len(seen) < 50 {
		t.Errorf("got %d command lines, want at least 50", len(seen))
	}
}

func TestTasksExist(t *testing.T) {
	file := read(t, filepath.Join(root, "Taskfile.yml"))
	for _, s := range snippets(t) {
		for _, words := range commands(s.text) {
			if len(words) < 2 || words[0] != "task" || strings.HasPrefix(words[1], "-") {
				continue
			}
			if !strings.Contains(file, "\n  "+words[1]+":\n") {
				t.Errorf("%s: %s: Taskfile.yml has no such task", s.page, s.text)
			}
		}
	}
}

// TestGoCommandsExist checks the packages of go build, generate, run and test, and that -run and
// -bench match a function.
func TestGoCommandsExist(t *testing.T) {
	count := 0
	for _, s := range snippets(t) {
		for _, words := range commands(s.text) {
			if len(words) > 2 && words[0] == "go" &&
				slices.Contains([]string{"build", "generate", "run", "test"}, words[1]) {
				count++
				checkGoCommand(t, s, words[2:])
			}
		}
	}
	if count < 8 {
		t.Errorf("got %d commands of go, want at least 8", count)
	}
}

func checkGoCommand(t *testing.T, s snippet, words []string) {
	t.Helper()
	if i := slices.Index(words, "-args"); i >= 0 {
		words = words[:i]
	}
	patterns := make(map[string]string) // by the prefix of the functions
	var functions []string
	for i, word := range words {
		switch {
		case word == "-run" && i+1 < len(words) && words[i+1] != "^$":
			patterns["Test"] = words[i+1]
		case word == "-bench" && i+1 < len(words) && words[i+1] != ".":
			patterns["Benchmark"] = words[i+1]
		case strings.HasPrefix(word, "./") && word != "./...":
			folder := filepath.Join(root, strings.TrimSuffix(word, "/..."))
			p, err := build.ImportDir(folder, 0)
			if err != nil {
				t.Errorf("%s: %s: %v", s.page, s.text, err)
				continue
			}
			for _, file := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
				text := read(t, filepath.Join(folder, file))
				for _, match := range testFunction.FindAllStringSubmatch(text, -1) {
					functions = append(functions, match[1])
				}
			}
		}
	}
	for prefix, pattern := range patterns {
		matches := func(name string) bool {
			return strings.HasPrefix(name, prefix) && regexp.MustCompile(pattern).MatchString(name)
		}
		if !slices.ContainsFunc(functions, matches) {
			t.Errorf("%s: %s: no %s matches %s", s.page, s.text, prefix, pattern)
		}
	}
}

var testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark)\w*)\(`)

var repositoryPath = regexp.MustCompile(
	`^(\./)?(\.ci|\.github|api|bench|cmd|consumers|docs|faults|infra|ops|schema|web)(/[\w.\-*]+)+/?$`)

func TestPathsExist(t *testing.T) {
	count := 0
	for _, s := range snippets(t) {
		for _, word := range strings.Fields(s.text) {
			if !repositoryPath.MatchString(word) || strings.Contains(word, "NNNNNN") {
				continue
			}
			count++
			if found, err := filepath.Glob(filepath.Join(root, word)); err != nil || len(found) == 0 {
				t.Errorf("%s names %s, which does not exist", s.page, word)
			}
		}
	}
	if count < 50 {
		t.Errorf("got %d paths, want at least 50", count)
	}
}

var (
	variableName = regexp.MustCompile(`\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b`)
	metricName   = regexp.MustCompile(`\bintray_[a-z_]+[a-z]\b`)
)

// TestNamesExist checks that the variables and metrics that pages show as code are in a file that
// is no page.
func TestNamesExist(t *testing.T) {
	var sources strings.Builder
	for _, file := range trackedFiles(t) {
		switch filepath.Ext(file) {
		case ".go", ".yaml", ".yml", ".sh", ".sql", ".conf", ".example", "":
			text, err := os.ReadFile(filepath.Join(root, file))
			if err != nil {
				t.Fatal(err)
			}
			sources.Write(text)
		}
	}
	known := sources.String()
	checked := make(map[string]bool)
	for _, s := range snippets(t) {
		names := append(variableName.FindAllString(s.text, -1), metricName.FindAllString(s.text, -1)...)
		for _, name := range names {
			if checked[name] {
				continue
			}
			checked[name] = true
			if !strings.Contains(known, name) {
				t.Errorf("%s names %s, which no file of the program has", s.page, name)
			}
		}
	}
	if len(checked) < 60 {
		t.Errorf("got %d names, want at least 60", len(checked))
	}
}
