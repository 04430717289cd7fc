package localtest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lib/pq"
)

// PostgresEmpty returns the URL of a new, empty database for the owner's role, which may create
// roles but is not a superuser. When the test ends, open connections are closed and the database is
// dropped. Roles belong to the whole server, so other tests see them.
func PostgresEmpty(t testing.TB) string {
	t.Helper()
	return createDatabase(t, "template1")
}

// PostgresSuperuser returns the URL of a database that [PostgresEmpty] or [PostgresMigrated]
// returned for the superuser. Intray itself never has this role; tests use it to observe the
// server.
func PostgresSuperuser(t testing.TB, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatalf("localtest: %v", err)
	}
	return databaseURL(sharedServers(t).SuperuserURL, strings.TrimPrefix(u.Path, "/"))
}

// PostgresMigrated is like [PostgresEmpty] but returns a database that migrate has run on. migrate
// is called once in a test process, on a template of which each database is a copy. It must close
// its connections. Functions are compared by their code, so closures of the same function literal
// count as one function.
func PostgresMigrated(t testing.TB, migrate func(ctx context.Context, url string) error) string {
	t.Helper()
	value, _ := templates.LoadOrStore(reflect.ValueOf(migrate).Pointer(), &template{})
	template := value.(*template)
	template.once.Do(func() { template.err = template.create(t, migrate) })
	if template.err != nil {
		t.Fatalf("localtest: migrate the template database: %v", template.err)
	}
	return createDatabase(t, template.name)
}

var templates sync.Map // *template by the function's code pointer

type template struct {
	once sync.Once
	name string
	err  error
}

func (p *template) create(t testing.TB, migrate func(context.Context, string) error) error {
	s, name := sharedServers(t), newName("template")
	ctx, cancel := withTimeout()
	defer cancel()
	if err := execute(ctx, s, createStatement(s, name, "template1")); err != nil {
		return err
	}
	p.name = name
	return migrate(ctx, databaseURL(s.OwnerURL, name))
}

func createDatabase(t testing.TB, template string) string {
	t.Helper()
	s, name := sharedServers(t), newName("test")
	ctx, cancel := withTimeout()
	defer cancel()
	if err := execute(ctx, s, createStatement(s, name, template)); err != nil {
		t.Fatalf("localtest: create a database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := withTimeout()
		defer cancel()
		drop := "DROP DATABASE " + pq.QuoteIdentifier(name) + " WITH (FORCE)"
		if err := execute(ctx, s, drop); err != nil {
			t.Errorf("localtest: drop a database: %v", err)
		}
	})
	return databaseURL(s.OwnerURL, name)
}

// createStatement returns a statement that creates a database as a copy of the template's files.
// PostgreSQL's default strategy writes each page to the write-ahead log, which takes twice as long.
func createStatement(s servers, name, template string) string {
	u, err := url.Parse(s.OwnerURL)
	if err != nil {
		panic(err) // the daemon wrote a valid URL
	}
	return "CREATE DATABASE " + pq.QuoteIdentifier(name) +
		" TEMPLATE " + pq.QuoteIdentifier(template) +
		" STRATEGY FILE_COPY OWNER " + pq.QuoteIdentifier(u.User.Username())
}

func execute(ctx context.Context, s servers, statement string) error {
	db, err := sql.Open("postgres", s.SuperuserURL)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(ctx, statement)
	return err
}

func databaseURL(base, database string) string {
	u, err := url.Parse(base)
	if err != nil {
		panic(err) // the daemon wrote a valid URL
	}
	u.Path = "/" + database
	return u.String()
}

var names atomic.Int64

// newName returns a name for a database or bucket that is unique in the run.
func newName(kind string) string {
	return fmt.Sprintf("%s-%d-%d", kind, os.Getpid(), names.Add(1))
}
