// Package docs_test holds the documentation against the code: a page that names a file or a status
// that is not there misleads. The test of the settings is in cmd/intray.
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

func TestStatesNamesEveryStatusAndReason(t *testing.T) {
	page := read(t, "states.md")
	for _, status := range schema.Statuses {
		if !strings.Contains(page, "\n| `"+string(status)+"` |") {
			t.Errorf("the table of statuses has no row for %s", status)
		}
	}
	for _, reason := range []schema.Reason{
		schema.ReasonQuotaExceeded, schema.ReasonSizeMismatch, schema.ReasonEncrypted, schema.ReasonNoText,
		schema.ReasonBroken, schema.ReasonUnsupported, schema.ReasonAIUnavailable, schema.ReasonContentChanged,
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
