// Package docs_test compares the documentation with the code: every link, command, path, setting
// and metric that a page names must exist. The settings are also compared in cmd/intray.
package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"intray/docs/doctest"
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

var (
	phrase = regexp.MustCompile("`([a-z]+(?: [a-z]+)+)`")
	// command matches what is not a message: a command, or a status in a document's history.
	command = regexp.MustCompile(`^(intray|docker|migrate|became) `)
)

// The runbook names messages that an operator looks for in logs and in a document's history.
func TestRunbookNamesRealMessages(t *testing.T) {
	page := strings.Join(strings.Fields(read(t, "runbook.md")), " ")
	var code strings.Builder
	for _, file := range doctest.Files(t) {
		if filepath.Ext(file) == ".go" && !strings.HasSuffix(file, "_test.go") {
			code.WriteString(read(t, filepath.Join(root, file)))
		}
	}
	checked := 0
	for _, match := range phrase.FindAllStringSubmatch(page, -1) {
		message := match[1]
		if command.MatchString(message) {
			continue
		}
		checked++
		if !strings.Contains(code.String(), message) {
			t.Errorf("the runbook names the message %q, which no code contains", message)
		}
	}
	if checked < 5 {
		t.Errorf("got %d messages, want at least 5", checked)
	}
}
