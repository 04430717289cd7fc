package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"intray/infra/local"
	"intray/infra/local/localtest"
	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// setupPrivate returns the bundle of a migrated database on a server of its own.
func setupPrivate(
	t *testing.T, settings ...string,
) (*localtest.Private, *local.TestPostgres, *bundle) {
	t.Helper()
	private := localtest.NewPrivate(t)
	server := private.Postgres(settings...)
	return private, server, bundleOf(t, server)
}

// bundleOf migrates the database of a server.
func bundleOf(t *testing.T, server *local.TestPostgres) *bundle {
	t.Helper()
	must(t, postgrestest.Migrate(t.Context(), server.OwnerURL()))
	return setupAt(t, server.OwnerURL())
}

// await polls until f returns nil. It fails the test after a minute.
func await(t *testing.T, what string, f func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if err = f(); err == nil {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatalf("timed out waiting until %s: %v", what, err)
}

// awaitExit waits until the channel that Signal returned is closed.
func awaitExit(t *testing.T, exited <-chan struct{}) {
	t.Helper()
	select {
	case <-exited:
	case <-time.After(time.Minute):
		t.Fatal("the server has not exited within a minute")
	}
}

// configure changes a setting of a server and waits until new transactions have the value.
func configure(t *testing.T, super *sqlx.DB, name, value string) {
	t.Helper()
	super.MustExec(`ALTER SYSTEM SET ` + name + ` = ` + value)
	super.MustExec(`SELECT pg_reload_conf()`)
	await(t, name+" is "+value, func() error {
		var got string
		if err := super.Get(&got, `SHOW `+name); err != nil || got != value {
			return fmt.Errorf("got %s, %w", got, err)
		}
		return nil
	})
}

func wantUnavailable(t *testing.T, operation string, err error) {
	t.Helper()
	if !errors.Is(err, postgres.ErrUnavailable) {
		t.Errorf("%s: got error %v, want ErrUnavailable", operation, err)
	}
}

// checkReadOnly checks that reads work and writes are an outage.
func checkReadOnly(t *testing.T, api, worker *postgres.DB, user uuid.UUID, d schema.Document) {
	t.Helper()
	if _, err := api.ForUser(user).Me(t.Context()); err != nil {
		t.Errorf("Me: got error %v, want none", err)
	}
	if _, err := api.ForUser(user).Topics(t.Context()); err != nil {
		t.Errorf("Topics: got error %v, want none", err)
	}
	_, err := worker.Transition(t.Context(), []uuid.UUID{d.ID}, confirm)
	wantUnavailable(t, "Transition", err)
	_, _, err = api.ForUser(user).CreateDocument(t.Context(), newDocument(t, user, 1), "", 1000)
	wantUnavailable(t, "CreateDocument", err)
	_, err = worker.CountAICall(t.Context(), user, 1, time.Now())
	wantUnavailable(t, "CountAICall", err)
	wantUnavailable(t, "Writable of the role worker", worker.Writable(t.Context(), 0))
	wantUnavailable(t, "Writable of the role api", api.Writable(t.Context(), 0))
}

func TestReadOnlyServer(t *testing.T) {
	_, server, b := setupPrivate(t)
	super := openRaw(t, server.SuperuserURL())
	d := b.create(t, b.alice, "f", 1)
	configure(t, super, "default_transaction_read_only", "on")
	checkReadOnly(t, b.api, b.worker, b.alice, d)
	configure(t, super, "default_transaction_read_only", "off")
	// Each connection reads the setting again when its process gets the signal.
	for name, db := range map[string]*postgres.DB{"api": b.api, "worker": b.worker, "owner": b.owner} {
		await(t, name+" can write", func() error { return db.Writable(t.Context(), 0) })
	}
	b.transition(t, d.ID, confirm)
	b.checkQuotas(t)
	if n := count(t, super, `SELECT count(*) FROM write_checks`); n != 0 {
		t.Errorf("got %d rows that Writable left behind, want 0", n)
	}
}

func TestStandby(t *testing.T) {
	private, server, b := setupPrivate(t)
	d := b.create(t, b.alice, "f", 1)
	standby := private.Standby(server)
	b.auth = openAuth(t, postgrestest.RoleURL(standby.OwnerURL(), "auth"))
	api := b.openAPI(t, postgrestest.RoleURL(standby.OwnerURL(), "api"))
	worker := open(t, postgrestest.RoleURL(standby.OwnerURL(), "worker"))
	checkReadOnly(t, api, worker, b.alice, d)
	err := postgres.MigrateDown(t.Context(), standby.OwnerURL(), 1, logger())
	wantUnavailable(t, "MigrateDown", err)
}

// TestSQLStates checks which errors of the server are an outage, which are about the statement, and
// which are about locks.
func TestSQLStates(t *testing.T) {
	b := setup(t)
	b.raw.MustExec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION USING ERRCODE = TG_ARGV[0], MESSAGE = 'refused'; END $$`)
	unavailable := []error{postgres.ErrUnavailable}
	aborted := []error{postgres.ErrAborted}
	locked := []error{postgres.ErrAborted, postgres.ErrLocked}
	for state, want := range map[string][]error{
		"08006": unavailable, // connection_failure
		"25006": unavailable, // read_only_sql_transaction
		"25P03": unavailable, // idle_in_transaction_session_timeout
		"28P01": unavailable, // invalid_password
		"3D000": unavailable, // invalid_catalog_name
		"53100": unavailable, // disk_full
		"53200": unavailable, // out_of_memory
		"53300": unavailable, // too_many_connections
		"53400": unavailable, // configuration_limit_exceeded
		"57P01": unavailable, // admin_shutdown
		"57P02": unavailable, // crash_shutdown
		"57P03": unavailable, // cannot_connect_now
		"57P04": unavailable, // database_dropped
		"57P05": unavailable, // idle_session_timeout
		// The following are caused by the rows of the statement, or by a slow server.
		"25P04": aborted, // transaction_timeout
		"57014": aborted, // query_canceled
		"58030": aborted, // io_error
		"40001": locked,  // serialization_failure
		"40P01": locked,  // deadlock_detected
		"55P03": locked,  // lock_not_available
		// The following are caused by the statement, or by one damaged row.
		"22P02": nil, // invalid_text_representation
		"23505": nil, // unique_violation
		"42501": nil, // insufficient_privilege
		"42P01": nil, // undefined_table
		"54000": nil, // program_limit_exceeded
		"55000": nil, // object_not_in_prerequisite_state
		"XX001": nil, // data_corrupted
	} {
		b.raw.MustExec(`DROP TRIGGER IF EXISTS refuse ON write_checks`)
		b.raw.MustExec(`CREATE TRIGGER refuse BEFORE INSERT ON write_checks
			FOR EACH ROW EXECUTE FUNCTION refuse('` + state + `')`)
		err := b.worker.Writable(t.Context(), 0)
		var got []error
		for _, kind := range []error{
			postgres.ErrUnavailable, postgres.ErrAborted, postgres.ErrLocked,
		} {
			if errors.Is(err, kind) {
				got = append(got, kind)
			}
		}
		if err == nil || !slices.Equal(got, want) {
			t.Errorf("%s: got error %v, which is %v; want one that is %v", state, err, got, want)
		}
	}
}

func TestNoConnectionSlots(t *testing.T) {
	_, server, b := setupPrivate(t, "max_connections=12", "superuser_reserved_connections=1")
	d := b.create(t, b.alice, "f", 1)
	worker, err := postgres.Open(postgrestest.RoleURL(server.OwnerURL(), "worker"), postgres.Options{})
	must(t, err)
	t.Cleanup(func() { _ = worker.Close() })
	must(t, b.api.Close())
	must(t, b.worker.Close())
	must(t, b.owner.Close())
	var others []*sqlx.DB
	await(t, "there are no connection slots", func() error {
		other := openRaw(t, server.OwnerURL())
		others = append(others, other)
		if err := other.Ping(); err == nil {
			return errors.New("connected")
		}
		return nil
	})
	_, err = worker.Transition(t.Context(), []uuid.UUID{d.ID}, confirm)
	wantUnavailable(t, "Transition", err)
	wantUnavailable(t, "Writable", worker.Writable(t.Context(), 0))
	for _, other := range others {
		must(t, other.Close())
	}
	await(t, "there is a connection slot", func() error { return worker.Writable(t.Context(), 0) })
	_, err = worker.Transition(t.Context(), []uuid.UUID{d.ID}, confirm)
	must(t, err)
}

func TestTerminatedSessionsAndCrashedServer(t *testing.T) {
	_, server, b := setupPrivate(t)
	super := openRaw(t, server.SuperuserURL())
	for name, interrupt := range map[string]func(){
		"pg_terminate_backend": func() {
			super.MustExec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'worker'`)
		},
		"immediate shutdown": func() {
			awaitExit(t, server.Signal(syscall.SIGQUIT))
			must(t, server.Start(t.Context()))
		},
	} {
		d := b.create(t, b.alice, "f", 1)
		must(t, b.worker.Ping(t.Context()))
		began := make(chan struct{})
		proceed := make(chan struct{})
		result := make(chan error, 1)
		go func() {
			_, err := b.worker.Transition(context.Background(), []uuid.UUID{d.ID},
				func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
					close(began)
					<-proceed
					return confirm(d, q, now)
				})
			result <- err
		}()
		<-began
		interrupt()
		close(proceed)
		wantUnavailable(t, name, <-result)
		await(t, "the database can be used after "+name, func() error {
			_, err := b.worker.Transition(t.Context(), []uuid.UUID{d.ID}, confirm)
			return err
		})
		b.checkQuotas(t)
	}
}

// TestFailover checks that a DB whose address names two servers uses the one that accepts writes.
func TestFailover(t *testing.T) {
	private, primary, b := setupPrivate(t)
	standby := private.Standby(primary)
	address := hosts(t, postgrestest.RoleURL(primary.OwnerURL(), "worker"), standby)
	worker := open(t, address)
	d := b.create(t, b.alice, "f", 1)
	wake, err := worker.ListenDeletions(t.Context())
	must(t, err)
	<-wake
	_, err = worker.Transition(t.Context(), []uuid.UUID{d.ID}, confirm)
	must(t, err)
	super := openRaw(t, standby.SuperuserURL())
	await(t, "the standby has the document", func() error {
		var status string
		err := super.Get(&status, `SELECT status FROM documents WHERE id = $1`, d.ID)
		if err == nil && status != "uploaded" {
			err = errors.New(status)
		}
		return err
	})

	awaitExit(t, primary.Signal(syscall.SIGQUIT))
	wantUnavailable(t, "without a primary", worker.Writable(t.Context(), 0))
	super.MustExec(`SELECT pg_promote()`)
	await(t, "the new primary is used", func() error { return worker.Writable(t.Context(), 0) })
	_, err = worker.Transition(t.Context(), []uuid.UUID{d.ID}, remove)
	must(t, err)
	select {
	case <-wake: // after the reconnection or the commit
	case <-time.After(time.Minute):
		t.Error("got no notification from the new primary")
	}
}

// TestDemotedServerIsLeft checks that connections that were made while a server accepted writes are
// not used when it refuses them and another one accepts them.
func TestDemotedServerIsLeft(t *testing.T) {
	private, first, _ := setupPrivate(t)
	second := private.Postgres()
	bundleOf(t, second)
	worker := open(t, hosts(t, postgrestest.RoleURL(first.OwnerURL(), "worker"), second))
	port := func() (port int) {
		must(t, worker.Pool().Get(&port, `SELECT inet_server_port()`))
		return port
	}
	before := port()
	configure(t, openRaw(t, first.SuperuserURL()), "default_transaction_read_only", "on")
	await(t, "the second server is used", func() error { return worker.Writable(t.Context(), 0) })
	await(t, "the second server is used for everything", func() error {
		if port() == before {
			return errors.New("the first server is used")
		}
		return nil
	})
}

// hosts adds another server to a URL.
func hosts(t *testing.T, text string, more *local.TestPostgres) string {
	t.Helper()
	u, err := url.Parse(text)
	must(t, err)
	other, err := url.Parse(more.OwnerURL())
	must(t, err)
	return strings.Replace(text, u.Host, u.Host+","+other.Host, 1)
}

// TestSmartShutdown checks that connections that are not in use do not keep a server from ending,
// and that everything continues after its restart.
func TestSmartShutdown(t *testing.T) {
	_, server, b := setupPrivate(t)
	must(t, b.raw.Close())
	must(t, b.rawAPI.Close())
	must(t, b.rawWorker.Close())
	d := b.create(t, b.alice, "f", 1)
	wake, err := b.worker.ListenDeletions(t.Context())
	must(t, err)
	<-wake
	holdConnections(t, b.worker, 8)

	shutDown(t, server)
	wantUnavailable(t, "after the shutdown", b.worker.Writable(t.Context(), 0))
	must(t, server.Start(t.Context()))
	await(t, "the database can be used", func() error { return b.worker.Writable(t.Context(), 0) })
	select {
	case <-wake:
	case <-time.After(time.Minute):
		t.Error("got no value after the reconnection of the listener")
	}
	b.transition(t, d.ID, confirm)
	holdConnections(t, b.worker, 8)
	if idle := b.worker.Pool().Stats().Idle; idle < 8 {
		t.Errorf("got %d idle connections after the restart, want the pool to keep 8", idle)
	}
}

// TestSmartShutdownUnderLoad checks that a server can end although all connections are always in
// use, because each one that is returned is needed again at once.
func TestSmartShutdownUnderLoad(t *testing.T) {
	_, server, b := setupPrivate(t)
	must(t, b.raw.Close())
	must(t, b.rawAPI.Close())
	must(t, b.rawWorker.Close())
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	defer load.Wait()
	defer cancel()
	for range 3 * b.worker.Pool().Stats().MaxOpenConnections {
		load.Go(func() {
			for ctx.Err() == nil {
				_, _ = b.worker.Now(ctx) // fails while the server is down
			}
		})
	}
	await(t, "requests wait for connections", func() error {
		if n := b.worker.Pool().Stats().WaitCount; n < 100 {
			return fmt.Errorf("%d requests have waited, want 100", n)
		}
		return nil
	})
	shutDown(t, server)
	must(t, server.Start(t.Context()))
	await(t, "the database can be used", func() error { return b.worker.Writable(t.Context(), 0) })
}

// shutDown sends SIGTERM to a server and waits until it has ended.
func shutDown(t *testing.T, server *local.TestPostgres) {
	t.Helper()
	select {
	case <-server.Signal(syscall.SIGTERM):
	case <-time.After(time.Minute):
		t.Fatal("the server has not ended within a minute of SIGTERM")
	}
}

// holdConnections opens n connections of the pool and returns them to it.
func holdConnections(t *testing.T, db *postgres.DB, n int) {
	t.Helper()
	var all []interface{ Close() error }
	for range n {
		conn, err := db.Pool().Conn(t.Context())
		must(t, err)
		all = append(all, conn)
	}
	for _, conn := range all {
		must(t, conn.Close())
	}
}
