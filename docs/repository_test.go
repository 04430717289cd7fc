package docs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"intray/docs/doctest"
)

var generatedHeader = regexp.MustCompile(
	`(?m)^(//|#) Code generated .* DO NOT EDIT\.$|^-- .* It is generated `)

func TestGitAttributes(t *testing.T) {
	files := doctest.Files(t)
	attributes := func(name string) map[string]bool {
		set := make(map[string]bool)
		lines := doctest.Git(t, append([]string{"check-attr", name, "--"}, files...)...)
		for line := range strings.Lines(lines) {
			file, value, _ := strings.Cut(line, ": "+name+": ")
			set[file] = strings.TrimSpace(value) == "set"
		}
		return set
	}
	generated, binary := attributes("linguist-generated"), attributes("binary")
	counted := 0
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		head := text[:min(len(text), 300)]
		if want := bytes.IndexByte(text, 0) >= 0; binary[file] != want {
			t.Errorf("%s is marked as binary: got %v, want %v", file, binary[file], want)
		}
		want := generatedHeader.Match(head) && filepath.Ext(file) != ".tmpl"
		if generated[file] != want {
			t.Errorf("%s is marked as generated: got %v, want %v", file, generated[file], want)
		}
		if want {
			counted++
		}
	}
	if counted < 4 {
		t.Errorf("got %d generated files, want at least 4", counted)
	}
}

func TestWorkflowCallsCI(t *testing.T) {
	workflow := read(t, filepath.Join(root, ".github/workflows/ci.yaml"))
	for _, want := range []string{
		"\n  pull_request:\n", "\n  push:\n    branches: [main]\n", "\n    timeout-minutes: 90\n",
		"\n          go-version-file: go.mod\n", "\n      - run: .ci/run\n",
	} {
		if !strings.Contains(workflow, want) {
			t.Errorf("got\n%s\nwant %q in it", workflow, want)
		}
	}
	for _, action := range regexp.MustCompile(`uses: (.*)`).FindAllStringSubmatch(workflow, -1) {
		if !regexp.MustCompile(`^actions/[a-z-]+@v\d+$`).MatchString(action[1]) {
			t.Errorf("got the action %s, want one of GitHub's, pinned to a major version", action[1])
		}
	}
	info, err := os.Stat(filepath.Join(root, ".ci/run"))
	if err != nil || info.Mode()&0o111 == 0 {
		t.Errorf(".ci/run: got mode %v and error %v, want a program", info.Mode(), err)
	}
}
