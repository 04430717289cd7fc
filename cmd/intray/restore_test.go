package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"intray/cmd/internal/stacktest"
)

// TestRestoreInMaintenanceMode deletes a document after a backup and restores the database and the
// bucket. The document must exist again. Without maintenance mode, the sweeper would run with the
// database that is about to be replaced. In that database the object is marked for deletion, so the
// sweeper would delete the restored object.
func TestRestoreInMaintenanceMode(t *testing.T) {
	s := up(t)
	alice := s.Login(t, "alice")
	id := alice.Upload("invoice.txt", "text/plain", []byte(invoice))
	alice.Becomes(id, 30*time.Second, "classified")
	used := alice.Used()
	backup := filepath.Join(t.TempDir(), "minio")
	bucket := filepath.Join(s.Dir, "minio")

	s.maintain(t, func(db *sqlx.DB) {
		if err := os.CopyFS(backup, os.DirFS(bucket)); err != nil {
			t.Fatal(err)
		}
		execute(t, db, `CREATE DATABASE backup TEMPLATE intray OWNER intray`)
	})
	s.Start()
	alice = s.Login(t, "alice")
	alice.Must("DELETE", "/api/documents/"+id, nil, nil, http.StatusAccepted)
	stacktest.Await(t, time.Minute, "the object to be deleted", func() error {
		if got := alice.Used(); got != 0 {
			return fmt.Errorf("got %d used bytes, want 0", got)
		}
		return nil
	})

	s.Stop(syscall.SIGTERM)
	if err := os.RemoveAll(bucket); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(bucket, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	s.maintain(t, func(db *sqlx.DB) {
		execute(t, db, `DROP DATABASE intray`)
		execute(t, db, `ALTER DATABASE backup RENAME TO intray`)
	})
	s.Start()
	s.operator(t, 0, "reconcile", "--settle", "1ms")
	alice = s.Login(t, "alice")
	if got := alice.Used(); got != used {
		t.Errorf("used bytes after the restore: got %d, want %d", got, used)
	}
	if got := content(t, alice, id); string(got) != invoice {
		t.Errorf("content after the restore: got %q, want %q", got, invoice)
	}
}

// maintain restarts the stack in maintenance mode, runs f as PostgreSQL's superuser and stops it.
func (s *stack) maintain(t *testing.T, f func(*sqlx.DB)) {
	t.Helper()
	s.Stop(syscall.SIGTERM)
	s.Start("--maintenance")
	defer s.Stop(syscall.SIGTERM)
	for _, server := range []string{"api", "consume", "gateway"} {
		if pid := s.PIDs[server]; pid != 0 {
			t.Errorf("%s: got process %d in maintenance mode, want none", server, pid)
		}
	}
	text, err := os.ReadFile(filepath.Join(s.Dir, "secrets.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Secrets map[string]string }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	super, err := url.Parse(s.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	super.User = url.UserPassword("postgres", file.Secrets["postgres_superuser"])
	super.Path = "/postgres"
	db, err := sqlx.ConnectContext(t.Context(), "postgres", super.String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	f(db)
}

// content downloads the content of a document.
func content(t *testing.T, c *stacktest.Client, id string) []byte {
	t.Helper()
	var answer struct {
		URL string `json:"url"`
	}
	c.Must("GET", "/api/documents/"+id+"/download-url", nil, &answer, http.StatusOK)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, answer.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("download %s: got status %d, %q, error %v, want 200",
			id, response.StatusCode, body, err)
	}
	return body
}

func execute(t *testing.T, db *sqlx.DB, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
