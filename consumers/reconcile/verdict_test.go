package reconcile

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"intray/infra/postgres"
	"intray/schema"
)

// table returns the verdicts for every status and every object, as rows of cells.
func table() [][]string {
	at := time.Now()
	tombstone := postgres.ObjectKeyState{RequestedAt: &at, DeletedAt: &at}
	type row struct {
		name  string
		known postgres.ObjectKeyState
	}
	rows := []row{{"none", postgres.ObjectKeyState{}}, {"none, but a tombstone", tombstone}}
	for _, s := range schema.Statuses {
		known := postgres.ObjectKeyState{Document: &schema.Document{Status: s, Size: 3, ETag: "a"}}
		if s == schema.StatusPending || s == schema.StatusExpired {
			known.Document.ETag = ""
		}
		if s == schema.StatusRejected || s == schema.StatusDeleting {
			known.RequestedAt, known.DeletedAt = &at, &at
		}
		rows = append(rows, row{string(s), known})
	}
	gone := &schema.Document{Status: schema.StatusDeleting, Size: 3, GoneAt: &at}
	rows = append(rows, row{"deleting, gone", postgres.ObjectKeyState{Document: gone}})
	var cells [][]string
	for _, r := range rows {
		line := []string{r.name}
		for _, o := range []*schema.Object{nil, {Size: 3, ETag: "a"}, {Size: 3, ETag: "b"}} {
			kind := state{r.known, o}.verdict()
			if kind == correct {
				kind = "correct"
			}
			line = append(line, string(kind))
		}
		cells = append(cells, line)
	}
	return cells
}

// The tables in the package documentation and in docs/reconcile.md match the code.
func TestDocumentedTablesMatchTheCode(t *testing.T) {
	source, err := os.ReadFile("reconcile.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/reconcile.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := table()
	if len(rows) != len(schema.Statuses)+3 {
		t.Fatalf("got %d rows, want %d", len(rows), len(schema.Statuses)+3)
	}
	for _, r := range rows {
		line := fmt.Sprintf("//\t%-22s %-17s %-26s %s\n", r[0], r[1], r[2], r[3])
		if !strings.Contains(string(source), line) {
			t.Errorf("reconcile.go: got no row %q, want one", line)
		}
		for i, cell := range r {
			if i == 0 {
				if status, rest, more := strings.Cut(cell, ","); strings.Contains(cell, "none") {
					r[i] = cell
				} else if r[i] = "`" + status + "`"; more {
					r[i] += "," + rest
				}
			} else if cell != "correct" {
				r[i] = "`" + cell + "`"
			}
		}
		line = "\n| " + strings.Join(r, " | ") + " |\n"
		if !strings.Contains(string(page), line) {
			t.Errorf("docs/reconcile.md: got no row %q, want one", line)
		}
	}
}

func TestPendingDeletionIsCorrect(t *testing.T) {
	at := time.Now()
	for _, s := range schema.Statuses {
		document := &schema.Document{Status: s, Size: 3}
		known := postgres.ObjectKeyState{Document: document, RequestedAt: &at}
		for _, o := range []*schema.Object{nil, {Size: 3}, {Size: 4}} {
			if kind := (state{known, o}).verdict(); kind != correct {
				t.Errorf("%s with object %v: got %q, want correct", s, o, kind)
			}
		}
	}
}

func TestDocumentWithoutETagAdoptsTheETagOfAnObjectOfItsSize(t *testing.T) {
	for size, want := range map[int64]Kind{3: adoptETag, 4: ChangedObject} {
		document := &schema.Document{Status: schema.StatusClassified, Size: 3}
		known := postgres.ObjectKeyState{Document: document}
		if kind := (state{known, &schema.Object{Size: size, ETag: "a"}}).verdict(); kind != want {
			t.Errorf("size %d: got %s, want %s", size, kind, want)
		}
	}
}

func TestDeletableKeys(t *testing.T) {
	for key, want := range map[string]bool{
		"documents/0123456789/x": true,
		"documents/a/b\nc":       true,
		"null-user/x":            true,
		"null-user/a/b":          true,
		"documents/x":            false,
		"documents//x":           false,
		"documents/x/":           false,
		"null-user/":             false,
		"Documents/a/b":          false,
		"x/documents/a/b":        false,
	} {
		if got := deletableKeys.MatchString(key); got != want {
			t.Errorf("%q: got %v, want %v", key, got, want)
		}
	}
}
