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

func TestErrorsDoNotContainThePassword(t *testing.T) {
	for _, text := range []string{
		"postgres://api:hunter2%zz@127.0.0.1/intray",
		"postgres://api:hunter2@127.0.0.1:port/intray",
		"host=x password='hunter2",
		"postgres://api:hunter2@127.0.0.1:1/intray?sslmode=disable",
		"postgres://api:hunter2@127.0.0.1:1/intray?sslmode=hunter2",
	} {
		errs := []error{
			postgres.Migrate(t.Context(), text, logger()),
			postgres.ProvisionRoles(t.Context(), text,
				postgres.RolePasswords{API: "hunter2", Auth: "hunter2", Worker: "hunter2"}),
		}
		db, err := postgres.Open(text, postgres.Options{})
		if err == nil {
			err = db.Ping(t.Context())
			must(t, db.Close())
		}
		for _, err := range append(errs, err) {
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got error %v, want one without the password", err)
			}
		}
	}
}

func TestRolesLogInWithTheirPassword(t *testing.T) {
	b := setup(t)
	u, err := url.Parse(postgrestest.RoleURL(b.url, "api"))
	must(t, err)
	u.User = url.UserPassword("api", "wrong")
	db, err := postgres.Open(u.String(), postgres.Options{})
	must(t, err)
	defer func() { _ = db.Close() }()
	// Rejected credentials count as an outage, because the messages that are being handled are not the
	// cause.
	err = db.Ping(t.Context())
	if !errors.Is(err, postgres.ErrUnavailable) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("wrong password: got error %v, want ErrUnavailable without the password", err)
	}
	for _, passwords := range []postgres.RolePasswords{
		{Auth: "x", Worker: "x"}, {API: "x", Worker: "x"}, {API: "x", Auth: "x"},
	} {
		if err := postgres.ProvisionRoles(t.Context(), b.url, passwords); err == nil {
			t.Errorf("%+v: got no error, want one about the empty password", passwords)
		}
	}
}

func TestUnavailable(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.alice, "f", 1)

	t.Run("refused connection", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		must(t, listener.Close())
		address := "postgres://api:x@" + listener.Addr().String() + "/intray?sslmode=disable"
		db, err := postgres.Open(address, postgres.Options{Auth: b.auth})
		must(t, err)
		defer func() { _ = db.Close() }()
		if err := db.Ping(t.Context()); !errors.Is(err, postgres.ErrUnavailable) {
			t.Errorf("Ping: got error %v, want ErrUnavailable", err)
		}
		_, err = db.ForUser(b.alice).Me(t.Context())
		if !errors.Is(err, postgres.ErrUnavailable) || schema.CodeOf(err) != schema.CodeInternal {
			t.Errorf("Me: got error %v, want ErrUnavailable and no code", err)
		}
	})

	// A proxy in front of a server that is down may accept the connection and answer anything.
	for name, answer := range map[string]string{
		"server without TLS": "N", "server of another protocol": "HTTP/1.1 400 Bad Request\r\n\r\n",
		"server that closes the connection": "",
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			served := make(chan struct{})
			defer func() { _ = listener.Close(); <-served }()
			go func() {
				defer close(served)
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Read(make([]byte, 8)) // the request for TLS
					_, _ = conn.Write([]byte(answer))
					_ = conn.Close()
				}
			}()
			db, err := postgres.Open("postgres://api:x@"+listener.Addr().String()+"/intray",
				postgres.Options{})
			must(t, err)
			defer func() { _ = db.Close() }()
			wantUnavailable(t, "Ping", db.Ping(t.Context()))
		})
	}

	// A process that hangs in a transaction blocks others only until the timeout.
	t.Run("transaction that is idle too long", func(t *testing.T) {
		quick, err := postgres.Open(postgrestest.RoleURL(b.url, "worker"), postgres.Options{
			LockTimeout: 50 * time.Millisecond, StatementTimeout: time.Second,
			IdleInTransactionTimeout: 300 * time.Millisecond,
		})
		must(t, err)
		defer func() { _ = quick.Close() }()
		stopped, resume := make(chan struct{}), make(chan struct{})
		result := make(chan error, 1)
		go func() {
			hang := func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
				close(stopped)
				<-resume
				return confirm(d, q, now)
			}
			_, err := quick.Transition(context.Background(), []uuid.UUID{d.ID}, hang)
			result <- err
		}()
		<-stopped
		_, err = quick.Transition(t.Context(), []uuid.UUID{d.ID}, confirm)
		var locked *postgres.LockedError
		if !errors.As(err, &locked) || !locked.Has(d.ID) || errors.Is(err, postgres.ErrUnavailable) {
			t.Errorf("locked document: got error %v, want a LockedError that names it", err)
		}
		b.transition(t, d.ID, confirm) // its lock timeout is longer
		close(resume)
		if err := <-result; !errors.Is(err, postgres.ErrUnavailable) {
			t.Errorf("idle transaction: got error %v, want ErrUnavailable", err)
		}
		b.checkQuotas(t)
	})

	t.Run("a canceled context is not an outage", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := b.worker.Transition(ctx, []uuid.UUID{d.ID}, confirm)
		if !errors.Is(err, context.Canceled) || errors.Is(err, postgres.ErrUnavailable) {
			t.Errorf("got error %v, want context.Canceled and not ErrUnavailable", err)
		}
	})
}

func TestCheckSchema(t *testing.T) {
	b := setup(t)
	for _, db := range []*postgres.DB{b.owner, b.api, b.worker} {
		must(t, db.CheckSchema(t.Context()))
	}
	required := migrations.Newest()
	b.raw.MustExec(`INSERT INTO applied_migrations (version) VALUES ($1)`, required+1)
	must(t, b.api.CheckSchema(t.Context()))
	b.raw.MustExec(`DELETE FROM applied_migrations WHERE version >= $1`, required)
	var outdated *postgres.OutdatedSchemaError
	err := b.api.CheckSchema(t.Context())
	if !errors.As(err, &outdated) || outdated.Required != required ||
		outdated.Version >= required || outdated.Version == 0 {
		t.Errorf("older schema: got error %v, want an OutdatedSchemaError", err)
	}
	b.raw.MustExec(`DROP TABLE applied_migrations`)
	err = b.api.CheckSchema(t.Context())
	if !errors.As(err, &outdated) || outdated.Version != 0 {
		t.Errorf("no migrations: got error %v, want an OutdatedSchemaError with version 0", err)
	}
}
