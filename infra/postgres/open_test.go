package postgres_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
	"intray/schema/migrations"
)

func TestErrorsHoldNoPassword(t *testing.T) {
	for _, text := range []string{
		"postgres://api:hunter2%zz@127.0.0.1/intray", "postgres://api:hunter2@127.0.0.1:port/intray", "host=x password='hunter2",
		"postgres://api:hunter2@127.0.0.1:1/intray?sslmode=disable", "postgres://api:hunter2@127.0.0.1:1/intray?sslmode=hunter2",
	} {
		errs := []error{
			postgres.Migrate(t.Context(), text, logger()),
			postgres.ProvisionRoles(t.Context(), text, "hunter2", "hunter2"),
		}
		db, err := postgres.Open(text, postgres.Options{})
		if err == nil {
			err = db.Ping(t.Context())
			must(t, db.Close())
		}
		for _, err := range append(errs, err) {
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v", err)
			}
		}
	}
}

func TestRolesSignInWithTheirPassword(t *testing.T) {
	b := setup(t)
	u, err := url.Parse(postgrestest.RoleURL(b.url, "api"))
	must(t, err)
	u.User = url.UserPassword("api", "wrong")
	db, err := postgres.Open(u.String(), postgres.Options{})
	must(t, err)
	defer func() { _ = db.Close() }()
	// Nothing that is in hand is at fault: it waits until the password is right again.
	if err := db.Ping(t.Context()); !errors.Is(err, postgres.ErrUnavailable) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("with a wrong password: %v", err)
	}
	if err := postgres.ProvisionRoles(t.Context(), b.url, "", "x"); err == nil {
		t.Error("an empty password is accepted")
	}
}

func TestUnavailable(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.alice, "f", 1)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, listener.Close())
	db, err := postgres.Open("postgres://api:x@"+listener.Addr().String()+"/intray?sslmode=disable", postgres.Options{})
	must(t, err)
	defer func() { _ = db.Close() }()
	if err := db.Ping(t.Context()); !errors.Is(err, postgres.ErrUnavailable) {
		t.Errorf("refused: %v", err)
	}
	if _, err := db.ForUser(b.alice).Me(t.Context()); !errors.Is(err, postgres.ErrUnavailable) || schema.CodeOf(err) != schema.CodeInternal {
		t.Errorf("refused: %v", err)
	}

	// A process that stands still within a transaction holds the others no longer than allowed.
	quick, err := postgres.Open(postgrestest.RoleURL(b.url, "worker"), postgres.Options{LockTimeout: 50 * time.Millisecond, StatementTimeout: time.Second, IdleInTransactionTimeout: 300 * time.Millisecond})
	must(t, err)
	defer func() { _ = quick.Close() }()
	stopped, resume := make(chan struct{}), make(chan struct{})
	result := make(chan error, 1)
	go func() {
		_, err := quick.Transition(context.Background(), []uuid.UUID{d.ID}, func(d *schema.Document, q *schema.Quota) schema.Decision {
			close(stopped)
			<-resume
			return confirm(d, q)
		})
		result <- err
	}()
	<-stopped
	if _, err := quick.Transition(t.Context(), []uuid.UUID{d.ID}, confirm); !errors.Is(err, postgres.ErrUnavailable) {
		t.Errorf("locked: %v", err)
	}
	b.transition(t, d.ID, confirm) // waits 5 s at most
	close(resume)
	if err := <-result; !errors.Is(err, postgres.ErrUnavailable) {
		t.Errorf("the one that stood still: %v", err)
	}
	b.checkQuotas(t)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.worker.Transition(ctx, []uuid.UUID{d.ID}, confirm); !errors.Is(err, context.Canceled) || errors.Is(err, postgres.ErrUnavailable) {
		t.Errorf("canceled: %v", err)
	}
}

func TestCheckSchema(t *testing.T) {
	b := setup(t)
	for _, db := range []*postgres.DB{b.owner, b.api, b.worker} {
		must(t, db.CheckSchema(t.Context()))
	}
	needed := migrations.Newest()
	b.raw.MustExec(`INSERT INTO applied_migrations (version) VALUES ($1)`, needed+1)
	must(t, b.api.CheckSchema(t.Context()))
	b.raw.MustExec(`DELETE FROM applied_migrations WHERE version >= $1`, needed)
	var old *postgres.OutdatedSchemaError
	if err := b.api.CheckSchema(t.Context()); !errors.As(err, &old) || old.Required != needed || old.Version >= needed || old.Version == 0 {
		t.Errorf("an older one: %v", err)
	}
	b.raw.MustExec(`DROP TABLE applied_migrations`)
	if err := b.api.CheckSchema(t.Context()); !errors.As(err, &old) || old.Version != 0 {
		t.Errorf("without migrations: %v", err)
	}
}
