// Package docs_test compares the documentation with the code: every link, command, path, setting
// and metric that a page names must exist. The settings are also compared in cmd/intray.
package docs_test

import (
	"os"
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
		schema.ReasonQuotaExceeded, schema.ReasonSizeMismatch,
		schema.ReasonEncrypted, schema.ReasonNoText, schema.ReasonBroken, schema.ReasonUnsupported,
		schema.ReasonAIUnavailable, schema.ReasonContentChanged,
	} {
		if !strings.Contains(page, "\n| `"+string(reason)+"` |") {
			t.Errorf("the table of reasons has no row for %s", reason)
		}
	}
}
