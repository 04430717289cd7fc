package postgres_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"intray/infra/local"
	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
)

// pooled returns a database URL that leads through a pooler.
func pooled(t *testing.T, text string, pooler *local.TestPooler) string {
	t.Helper()
	u, err := url.Parse(text)
	must(t, err)
	u.Host = pooler.Address
	return u.String()
}

// passwords are the passwords of the roles of a server, for a pooler.
func passwords(t *testing.T, server *local.TestPostgres) map[string]string {
	t.Helper()
	u, err := url.Parse(server.OwnerURL())
	must(t, err)
	owner, _ := u.User.Password()
	return map[string]string{
		u.User.Username(): owner,
		"api":             postgrestest.RolePassword,
		"auth":            postgrestest.RolePassword,
		"worker":          postgrestest.RolePassword,
	}
}

func TestPoolerInSessionMode(t *testing.T) {
	private, server, b := setupPrivate(t)
	pooler := private.Pooler(server, passwords(t, server), "pool_mode = session")
	owner := pooled(t, b.url, pooler)
	must(t, postgres.Migrate(t.Context(), owner, logger()))
	must(t, postgres.MigrateDown(t.Context(), owner, 1, logger()))
	must(t, postgres.Migrate(t.Context(), owner, logger()))
	if _, err := postgres.MigrationVersion(t.Context(), owner); err != nil {
		t.Errorf("MigrationVersion: got error %v, want none", err)
	}

	worker, err := postgres.Open(pooled(t, postgrestest.RoleURL(b.url, "worker"), pooler),
		postgres.Options{
			LockTimeout: 1234 * time.Millisecond, StatementTimeout: 2345 * time.Millisecond,
			IdleInTransactionTimeout: 3456 * time.Millisecond,
		})
	must(t, err)
	t.Cleanup(func() { _ = worker.Close() })
	want := map[string]string{
		"lock_timeout": "1234ms", "statement_timeout": "2345ms",
		"idle_in_transaction_session_timeout": "3456ms", "tcp_user_timeout": "5345",
	}
	// The pooler hands the session of a connection that ends to the next one, and resets it.
	for round := range 3 {
		for name, limit := range want {
			var got string
			must(t, worker.Pool().Get(&got, `SHOW `+name))
			if got != limit {
				t.Errorf("connection %d: got %s %s, want %s", round, name, got, limit)
			}
		}
		worker.Pool().SetMaxIdleConns(0)
		worker.Pool().SetMaxIdleConns(4)
	}
	wake, err := worker.ListenDeletions(t.Context())
	must(t, err)
	<-wake
	b.auth = openAuth(t, pooled(t, postgrestest.RoleURL(b.url, "auth"), pooler))
	api := b.openAPI(t, pooled(t, postgrestest.RoleURL(b.url, "api"), pooler))
	for range 3 { // prepared statements
		d := newDocument(t, b.alice, 1)
		if _, _, err := api.ForUser(b.alice).CreateDocument(t.Context(), d, "", 1000); err != nil {
			t.Fatal(err)
		}
		b.transition(t, d.ID, confirm)
		b.transition(t, d.ID, remove)
		<-wake
	}
}

// TestPoolerInTransactionModeIsRefused also covers poolers with other orders and with many clients.
func TestPoolerInTransactionModeIsRefused(t *testing.T) {
	private, server, b := setupPrivate(t)
	for name, settings := range map[string][]string{
		"transaction":            {"pool_mode = transaction"},
		"statement":              {"pool_mode = statement"},
		"one session":            {"pool_mode = transaction", "default_pool_size = 1"},
		"sessions in turn":       {"pool_mode = transaction", "server_round_robin = 1"},
		"busy, sessions in turn": {"pool_mode = transaction", "server_round_robin = 1"},
		"busy":                   {"pool_mode = transaction"},
	} {
		t.Run(name, func(t *testing.T) {
			pooler := private.Pooler(server, passwords(t, server), settings...)
			owner := pooled(t, b.url, pooler)
			worker := pooled(t, postgrestest.RoleURL(b.url, "worker"), pooler)
			if strings.HasPrefix(name, "busy") {
				occupy(t, owner)
				occupy(t, worker)
			}
			db, err := postgres.Open(worker, postgres.Options{})
			must(t, err)
			t.Cleanup(func() { _ = db.Close() })
			_, versionErr := postgres.MigrationVersion(t.Context(), owner)
			for operation, err := range map[string]error{
				"Ping": db.Ping(t.Context()), "Writable": db.Writable(t.Context(), 0),
				"Migrate":          postgres.Migrate(t.Context(), owner, logger()),
				"MigrationVersion": versionErr,
				"ProvisionRoles":   postgres.ProvisionRoles(t.Context(), owner, postgrestest.RolePasswords),
			} {
				if !errors.Is(err, postgres.ErrTransactionPooling) ||
					!errors.Is(err, postgres.ErrUnavailable) {
					t.Errorf("%s: got error %v, want ErrTransactionPooling", operation, err)
				}
			}
		})
	}
}

// A busy pooler may always execute the statements of a connection in the same session, but not
// without executing those of others in it.
func TestSharedSessionIsObserved(t *testing.T) {
	b := setup(t)
	for _, role := range []string{"api", "worker"} {
		url := postgrestest.RoleURL(b.url, role)
		must(t, postgres.ObserveSessions(t.Context(), url, false))
		err := postgres.ObserveSessions(t.Context(), url, true)
		if !errors.Is(err, postgres.ErrTransactionPooling) {
			t.Errorf("%s: got error %v, want ErrTransactionPooling", role, err)
		}
	}
}

// occupy executes statements with several connections until the test ends.
func occupy(t *testing.T, url string) {
	t.Helper()
	db := openRaw(t, url)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	const clients = 6
	for range clients {
		go func() {
			for ctx.Err() == nil {
				_, _ = db.Exec(`SELECT pg_sleep(0.002)`) // fails when the test ends
			}
			ended <- struct{}{}
		}()
	}
	t.Cleanup(func() {
		cancel()
		for range clients {
			<-ended
		}
		_ = db.Close()
	})
}

// TestPoolerWithoutSessionsLeft checks that a pooler in session mode that has one session works.
func TestPoolerWithoutSessionsLeft(t *testing.T) {
	private, server, b := setupPrivate(t)
	pooler := private.Pooler(server, passwords(t, server), "pool_mode = session",
		"default_pool_size = 1")
	version, err := postgres.MigrationVersion(t.Context(), pooled(t, b.url, pooler))
	if err != nil || version == 0 {
		t.Errorf("got version %d and error %v, want the newest version", version, err)
	}
}
