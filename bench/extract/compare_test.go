package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	var c comparison
	c.compare("Invoice, no. 7: the the amount", "the INVOICE\ufb01 invoice the 7 漢字")
	// In common: invoice, 7, the, the. The ligature belongs to a word of its own.
	if c.Words != 6 || c.Reference != 7 || c.common != 4 {
		t.Errorf("got %d words of %d, %d in common, want 6, 7 and 4", c.Words, c.Reference, c.common)
	}
	if got := share(4, 7); c.Found != got {
		t.Errorf("got found %f, want %f", c.Found, got)
	}
	if got := share(2, 6); c.Extra != got {
		t.Errorf("got extra %f, want %f", c.Extra, got)
	}
}

// The table has a row for each kind. HTML has no reference.
func TestRun(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	folder := t.TempDir()
	words := strings.Repeat("the landlord and the tenant agree ", 3)
	mail := "From: a@example.com\nTo: b@example.com\nSubject: Lease\n\n" + words + "\n"
	for name, content := range map[string]string{"same.eml": mail, "page.html": "<p>" + words} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	for range 2 { // the second time, the reference is read from the cache
		out.Reset()
		if err := run(context.Background(), []string{"-worst", "1", folder}, &out); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"| message/rfc822 | 1 | 1 | 1 | 1.000 | 0.000 | 0 |", "| text/html | 1 | 1 | 0 |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got %s, want the row %s", out.String(), want)
		}
	}
}
