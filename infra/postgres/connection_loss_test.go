package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

const (
	forwardAll int32 = iota
	closeBeforeCommit
	closeAfterCommit
	hang // keep the connections open and forward nothing
)

// A faultyProxy is a TCP proxy in front of PostgreSQL that closes the connection before or after
// the next COMMIT.
type faultyProxy struct {
	mode   atomic.Int32
	closed atomic.Int32
	reads  atomic.Int32 // reads from clients; each small request is one
	lost   atomic.Int32 // reads from clients in the mode hang
}

// listen returns the URL of the database through the proxy.
func (c *faultyProxy) listen(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	server := u.Host
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { _ = listener.Close(); <-done })
	go func() {
		defer close(done)
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			go c.forward(client, upstream)
			go func() {
				_, _ = io.Copy(client, upstream)
				_ = client.Close()
			}()
		}
	}()
	u.Host = listener.Addr().String()
	return u.String()
}

func (c *faultyProxy) forward(client, upstream net.Conn) {
	defer func() { _ = client.Close() }()
	defer func() { _ = upstream.Close() }()
	buffer := make([]byte, 1<<20)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		c.reads.Add(1)
		if c.mode.Load() == hang {
			c.lost.Add(1)
			continue
		}
		commit := bytes.Contains(buffer[:n], []byte("COMMIT"))
		if commit && c.mode.CompareAndSwap(closeBeforeCommit, forwardAll) {
			c.closed.Add(1)
			return
		}
		if commit && c.mode.CompareAndSwap(closeAfterCommit, forwardAll) {
			c.closed.Add(1)
			_ = client.Close() // the client does not receive the response
			_, _ = upstream.Write(buffer[:n])
			_, _ = upstream.Read(buffer) // the transaction is committed
			return
		}
		if _, err := upstream.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestConnectionLostDuringCommit(t *testing.T) {
	b := setup(t)
	var c faultyProxy
	db := open(t, c.listen(t, postgrestest.RoleURL(b.url, "worker")))
	for mode, name := range map[int32]string{closeBeforeCommit: "before", closeAfterCommit: "after"} {
		d := b.create(t, b.alice, "f", 10)
		c.mode.Store(mode)
		_, err := db.Transition(t.Context(), []uuid.UUID{d.ID}, confirm)
		if !errors.Is(err, postgres.ErrUnavailable) {
			t.Fatalf("connection closed %s the commit: got error %v, want ErrUnavailable", name, err)
		}
		b.checkQuotas(t)
		docs, err := db.Transition(t.Context(), []uuid.UUID{d.ID}, confirm)
		must(t, err)
		d = docs[0]
		if d.Status != schema.StatusUploaded || d.Version != 2 || d.UnpublishedAt == nil {
			t.Errorf("second call after a connection closed %s the commit: "+
				"got %+v, want a document that was confirmed once", name, d)
		}
		b.checkQuotas(t)
	}
	if n := c.closed.Load(); n != 2 {
		t.Errorf("got %d closed connections, want 2", n)
	}
	used := count(t, b.raw, `SELECT used_bytes FROM quotas WHERE user_id = $1`, b.alice)
	if used != 20 {
		t.Errorf("got %d used bytes, want 20", used)
	}
}

// A process that was suspended does not read what the server sends. The server then waits in the
// middle of a statement, where none of its own time limits applies, and keeps all locks.
func TestClientThatDoesNotReadKeepsNoLocks(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.alice, "f", 10)
	suspended, err := postgres.Open(postgrestest.RoleURL(b.url, "worker"),
		postgres.Options{StatementTimeout: 100 * time.Millisecond})
	must(t, err)
	defer func() { _ = suspended.Close() }()
	tx, err := suspended.Pool().BeginTx(t.Context(), nil)
	must(t, err)
	defer func() { _ = tx.Rollback() }()
	rows, err := tx.QueryContext(t.Context(), `
		SELECT id, repeat('x', 10000) FROM documents, generate_series(1, 10000) WHERE id = $1
		FOR NO KEY UPDATE OF documents`, d.ID)
	must(t, err)
	defer func() { _ = rows.Close() }()
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	await(t, "the document is not locked", func() error {
		_, err := b.worker.Transition(t.Context(), []uuid.UUID{d.ID}, confirm)
		return err
	})
}

// A server that keeps the listener's connection open but no longer answers on it, such as one that
// was cut off, costs no notification.
func TestListenerLeavesAConnectionThatHangs(t *testing.T) {
	b := setup(t)
	var c faultyProxy
	db := open(t, c.listen(t, postgrestest.RoleURL(b.url, "worker")))
	db.SetListenerPing(100 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wake, err := db.ListenDeletions(ctx)
	must(t, err)
	<-wake
	c.mode.Store(hang)
	eventually(t, "a ping is lost", func() bool { return c.lost.Load() > 0 })
	c.mode.Store(forwardAll)
	select {
	case <-wake:
	case <-time.After(20 * time.Second):
		t.Error("got no value within 20 s, want one after the listener has connected again")
	}

	lost := c.lost.Load()
	c.mode.Store(hang)
	eventually(t, "another ping is lost", func() bool { return c.lost.Load() > lost })
	cancel()
	for range wake { // the channel is closed, although the server does not answer
	}
}

// A server process that is stopped (SIGSTOP) keeps its connections open and does not answer.
func TestUnresponsiveServerIsUnavailable(t *testing.T) {
	b := setup(t)
	var c faultyProxy
	db, err := postgres.Open(c.listen(t, postgrestest.RoleURL(b.url, "worker")),
		postgres.Options{StatementTimeout: 100 * time.Millisecond})
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	must(t, db.Ping(t.Context())) // opens the connection
	c.mode.Store(hang)
	answered := make(chan error, 1)
	go func() {
		_, err := db.Backlog(t.Context())
		answered <- err
	}()
	select {
	case err := <-answered:
		if !errors.Is(err, postgres.ErrUnavailable) {
			t.Errorf("got error %v, want ErrUnavailable", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the call did not return within 20 s")
	}
}

// TestTransitionRoundTrips counts round trips, because they determine how long a confirm takes.
func TestTransitionRoundTrips(t *testing.T) {
	b := setup(t)
	var c faultyProxy
	worker := open(t, c.listen(t, postgrestest.RoleURL(b.url, "worker")))
	api := b.openAPI(t, c.listen(t, postgrestest.RoleURL(b.url, "api")))
	for name, test := range map[string]struct {
		db   *postgres.DB
		want int32
	}{
		// begin, lock documents, lock quotas, write documents, write quotas, commit
		"worker": {worker, 6},
		// the same and set_current_user
		"api": {api.ForUser(b.alice), 7},
	} {
		d := b.create(t, b.alice, "f", 1)
		before := c.reads.Load()
		if _, err := test.db.Transition(t.Context(), []uuid.UUID{d.ID}, confirm); err != nil {
			t.Fatal(err)
		}
		if got := c.reads.Load() - before; got != test.want {
			t.Errorf("%s: got %d round trips, want %d", name, got, test.want)
		}
	}
}
