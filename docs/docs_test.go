// Package docs_test holds the documentation against the code: a page that names a setting, a file or a status that is not
// there misleads.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"intray/schema"
)

const root = ".."

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every setting that a command reads is in configuration.md, and the other way round.
func TestConfigurationNamesEverySetting(t *testing.T) {
	var files []string
	for _, folder := range []string{"intray", "internal/cli"} {
		found, err := filepath.Glob(filepath.Join(root, "cmd", folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	settings := map[string]bool{}
	tag := regexp.MustCompile("env:\"([A-Z_]+)")
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, match := range tag.FindAllStringSubmatch(read(t, file), -1) {
			settings[match[1]] = true
		}
	}
	if len(settings) < 20 {
		t.Fatalf("found %d settings in cmd, want at least 20", len(settings))
	}
	page := read(t, "configuration.md")
	for name := range settings {
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("configuration.md does not name %s", name)
		}
	}
	// Those of the servers beside it, and of the system.
	page, _, _ = strings.Cut(page, "## The servers beside it")
	for _, match := range regexp.MustCompile("`([A-Z]+_[A-Z_]+)`").FindAllStringSubmatch(page, -1) {
		if name := match[1]; !settings[name] && !strings.HasPrefix(name, "XDG_") {
			t.Errorf("configuration.md names %s, which no command reads", name)
		}
	}
}

func TestStatesNamesEveryStatusAndReason(t *testing.T) {
	page := read(t, "states.md")
	for _, status := range schema.Statuses {
		if !strings.Contains(page, "\n| `"+string(status)+"` |") {
			t.Errorf("the table of statuses has no row for %s", status)
		}
	}
	for _, reason := range []schema.Reason{
		schema.ReasonQuotaExceeded, schema.ReasonSizeMismatch, schema.ReasonEncrypted, schema.ReasonNoText,
		schema.ReasonBroken, schema.ReasonUnsupported, schema.ReasonAIUnavailable, schema.ReasonContentChange,
	} {
		if !strings.Contains(page, "\n| `"+string(reason)+"` |") {
			t.Errorf("the table of reasons has no row for %s", reason)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// Links between the pages and to files of the repository lead somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	pages := []string{filepath.Join(root, "README.md"), filepath.Join(root, "CHANGELOG.md")}
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			pages = append(pages, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for _, page := range pages {
		for _, match := range link.FindAllStringSubmatch(read(t, page), -1) {
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), match[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, match[1], err)
			}
		}
	}
	if links < 20 {
		t.Errorf("found %d links, want at least 20", links)
	}
}
