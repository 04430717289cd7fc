package docs_test

import (
	"go/build"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"intray/docs/doctest"
)

func TestTasksExist(t *testing.T) {
	file := read(t, filepath.Join(root, "Taskfile.yml"))
	for _, s := range doctest.Snippets(t) {
		for _, words := range doctest.Commands(s.Text) {
			if len(words) < 2 || words[0] != "task" || strings.HasPrefix(words[1], "-") {
				continue
			}
			if !strings.Contains(file, "\n  "+words[1]+":\n") {
				t.Errorf("%s: %s: Taskfile.yml has no such task", s.Page, s.Text)
			}
		}
	}
}

// TestGoCommandsExist checks the packages of go build, generate, run and test, and that -run and
// -bench match a function.
func TestGoCommandsExist(t *testing.T) {
	count := 0
	for _, s := range doctest.Snippets(t) {
		for _, words := range doctest.Commands(s.Text) {
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

func checkGoCommand(t *testing.T, s doctest.Snippet, words []string) {
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
				t.Errorf("%s: %s: %v", s.Page, s.Text, err)
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
			t.Errorf("%s: %s: no %s matches %s", s.Page, s.Text, prefix, pattern)
		}
	}
}

var testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark)\w*)\(`)

var repositoryPath = regexp.MustCompile(
	`^(\./)?(\.ci|\.github|api|bench|cmd|consumers|docs|faults|infra|ops|schema|web)(/[\w.\-*]+)+/?$`)

func TestPathsExist(t *testing.T) {
	count := 0
	for _, s := range doctest.Snippets(t) {
		for _, word := range strings.Fields(s.Text) {
			if !repositoryPath.MatchString(word) || strings.Contains(word, "NNNNNN") {
				continue
			}
			count++
			if found, err := filepath.Glob(filepath.Join(root, word)); err != nil || len(found) == 0 {
				t.Errorf("%s names %s, which does not exist", s.Page, word)
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
	for _, file := range doctest.Files(t) {
		switch filepath.Ext(file) {
		case ".go", ".ts", ".yaml", ".yml", ".sh", ".sql", ".conf", ".example", "":
			text, err := os.ReadFile(filepath.Join(root, file))
			if err != nil {
				t.Fatal(err)
			}
			sources.Write(text)
		}
	}
	known := sources.String()
	checked := make(map[string]bool)
	for _, s := range doctest.Snippets(t) {
		names := append(variableName.FindAllString(s.Text, -1), metricName.FindAllString(s.Text, -1)...)
		for _, name := range names {
			if checked[name] {
				continue
			}
			checked[name] = true
			if !strings.Contains(known, name) {
				t.Errorf("%s names %s, which no file of the program has", s.Page, name)
			}
		}
	}
	if len(checked) < 60 {
		t.Errorf("got %d names, want at least 60", len(checked))
	}
}

var (
	contractPath = regexp.MustCompile(`(?m)^  (/\S*):$`)
	shownPath    = regexp.MustCompile(`(?:\b(?:GET|POST|PATCH|PUT|DELETE) |\$api)(/[\w/{}$.-]+)`)
	parameter    = regexp.MustCompile(`\{\w+\}|\$\w+`)
)

// TestHTTPPathsExist compares the paths of calls that pages show with api/openapi.yaml.
func TestHTTPPathsExist(t *testing.T) {
	known := make(map[string]bool)
	contract := read(t, filepath.Join(root, "api/openapi.yaml"))
	for _, match := range contractPath.FindAllStringSubmatch(contract, -1) {
		known[parameter.ReplaceAllString(match[1], "{}")] = true
	}
	count := 0
	for _, s := range doctest.Snippets(t) {
		for _, match := range shownPath.FindAllStringSubmatch(s.Text, -1) {
			count++
			if !known[parameter.ReplaceAllString(match[1], "{}")] {
				t.Errorf("%s: %s: openapi.yaml has no path %s", s.Page, s.Text, match[1])
			}
		}
	}
	if count < 20 {
		t.Errorf("got %d paths, want at least 20", count)
	}
}
