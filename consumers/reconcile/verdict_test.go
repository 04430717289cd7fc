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

// table is what verdict makes of every status and every object, as rows of cells.
func table() [][]string {
	at := time.Now()
	tombstone := postgres.ObjectKeyState{RequestedAt: &at, DeletedAt: &at}
	type row struct {
		name  string
		known postgres.ObjectKeyState
	}
	rows := []row{{"none", postgres.ObjectKeyState{}}, {"none, but tombstone", tombstone}}
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
	rows = append(rows, row{"deleting, gone", postgres.ObjectKeyState{Document: &schema.Document{Status: schema.StatusDeleting, Size: 3, GoneAt: &at}}})
	var cells [][]string
	for _, r := range rows {
		line := []string{r.name}
		for _, o := range []*schema.Object{nil, {Size: 3, ETag: "a"}, {Size: 3, ETag: "b"}} {
			kind := state{r.known, o}.verdict()
			if kind == inOrder {
				kind = "in order"
			}
			line = append(line, string(kind))
		}
		cells = append(cells, line)
	}
	return cells
}

// The table in the package's documentation and in docs is what the code does.
func TestTheTableIsTrue(t *testing.T) {
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
		t.Fatalf("%d rows", len(rows))
	}
	for _, r := range rows {
		if line := fmt.Sprintf("//\t%-20s %-17s %-26s %s\n", r[0], r[1], r[2], r[3]); !strings.Contains(string(source), line) {
			t.Errorf("reconcile.go lacks %q", line)
		}
		for i, cell := range r {
			if i == 0 {
				if status, rest, more := strings.Cut(cell, ","); strings.Contains(cell, "none") {
					r[i] = cell
				} else if r[i] = "`" + status + "`"; more {
					r[i] += "," + rest
				}
			} else if cell != "in order" {
				r[i] = "`" + cell + "`"
			}
		}
		if line := "\n| " + strings.Join(r, " | ") + " |\n"; !strings.Contains(string(page), line) {
			t.Errorf("docs/reconcile.md lacks %q", line)
		}
	}
}

func TestAnOwedDeletionIsUnderWay(t *testing.T) {
	at := time.Now()
	for _, s := range schema.Statuses {
		known := postgres.ObjectKeyState{Document: &schema.Document{Status: s, Size: 3}, RequestedAt: &at}
		for _, o := range []*schema.Object{nil, {Size: 3}, {Size: 4}} {
			if kind := (state{known, o}).verdict(); kind != inOrder {
				t.Errorf("%s with object %v is %s", s, o, kind)
			}
		}
	}
}

func TestADocumentWithoutAnETagAdopts(t *testing.T) {
	for size, want := range map[int64]Kind{3: adopt, 4: ChangedObject} {
		known := postgres.ObjectKeyState{Document: &schema.Document{Status: schema.StatusClassified, Size: 3}}
		if kind := (state{known, &schema.Object{Size: size, ETag: "a"}}).verdict(); kind != want {
			t.Errorf("size %d: %s, want %s", size, kind, want)
		}
	}
}

func TestOursAreTheFoldersThatTheWorkersKeyMayDeleteIn(t *testing.T) {
	for key, want := range map[string]bool{
		"documents/0123456789/x": true, "null-user/x": true, "null-user/a/b": true, "documents/a/b\nc": true,
		"documents/x": false, "documents//x": false, "documents/x/": false, "null-user/": false, "Documents/a/b": false, "x/documents/a/b": false,
	} {
		if ours.MatchString(key) != want {
			t.Errorf("%q is ours: %v", key, !want)
		}
	}
}
