package localtest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lib/pq"
)

// PostgresEmpty returns the URL of a fresh database of the owner's role, which may create
// roles but is no superuser. It is dropped when the test ends, whoever is still connected.
// Roles belong to the whole server: other tests see them.
func PostgresEmpty(t testing.TB) string {
	t.Helper()
	return createDatabase(t, "template1")
}

// PostgresMigrated is [PostgresEmpty] with a database that migrate has run on. It runs once
// in a test process; each database is a copy of what it left. It must close its
// connections. Of a closure, all instances count as one.
func PostgresMigrated(t testing.TB, migrate func(ctx context.Context, url string) error) string {
	t.Helper()
	made, _ := templates.LoadOrStore(reflect.ValueOf(migrate).Pointer(), &template{})
	template := made.(*template)
	template.once.Do(func() { template.err = template.make(t, migrate) })
	if template.err != nil {
		t.Fatalf("localtest: migrate the template database: %v", template.err)
	}
	return createDatabase(t, template.name)
}

var templates sync.Map // of *template, by the function's pointer

type template struct {
	once sync.Once
	name string
	err  error
}

func (p *template) make(t testing.TB, migrate func(context.Context, string) error) error {
	s, name := sharedServers(t), newName("template")
	ctx, cancel := timeout()
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
	ctx, cancel := timeout()
	defer cancel()
	if err := execute(ctx, s, createStatement(s, name, template)); err != nil {
		t.Fatalf("localtest: create a database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := timeout()
		defer cancel()
		if err := execute(ctx, s, "DROP DATABASE "+pq.QuoteIdentifier(name)+" WITH (FORCE)"); err != nil {
			t.Errorf("localtest: drop a database: %v", err)
		}
	})
	return databaseURL(s.OwnerURL, name)
}

// createStatement copies the template's files. Writing each of its pages to the write-ahead
// log instead, which is PostgreSQL's default, takes twice as long.
func createStatement(s servers, name, template string) string {
	u, err := url.Parse(s.OwnerURL)
	if err != nil {
		panic(err) // the keeper wrote it
	}
	return "CREATE DATABASE " + pq.QuoteIdentifier(name) + " TEMPLATE " + pq.QuoteIdentifier(template) +
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
		panic(err) // the keeper wrote it
	}
	u.Path = "/" + database
	return u.String()
}

var names atomic.Int64

// newName returns a name that no other test process of the run uses.
func newName(kind string) string {
	return fmt.Sprintf("%s-%d-%d", kind, os.Getpid(), names.Add(1))
}
