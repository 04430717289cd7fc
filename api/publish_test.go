package api_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/api"
	"intray/infra/local/localtest"
	"intray/infra/nats"
	"intray/schema"
)

// announced starts NATS with its streams and returns it with an operator's
// connection.
func announced(t *testing.T) (*localtest.NATSServer, *nats.Conn) {
	t.Helper()
	server := localtest.NATS(t)
	operator, err := nats.Connect(t.Context(), nats.Options{
		URL: server.URL, User: nats.UserOperator, Password: server.Passwords[nats.UserOperator], Name: "test", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { operator.Close() })
	if err := nats.Provision(t.Context(), operator, nats.StreamLimits{}); err != nil {
		t.Fatal(err)
	}
	return server, operator
}

// told returns the subjects of what the stream holds about the document.
func told(t *testing.T, operator *nats.Conn, id uuid.UUID) (subjects []string) {
	t.Helper()
	stream, err := operator.JetStream().Stream(t.Context(), schema.StreamDocuments)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		msg, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		var e schema.DocumentEvent
		if err := json.Unmarshal(msg.Data, &e); err != nil {
			t.Fatal(err)
		}
		if e.DocumentID == id {
			subjects = append(subjects, msg.Subject)
		}
	}
	return subjects
}

func (b *bundle) unannounced() (n int) {
	b.t.Helper()
	if err := b.sql.GetContext(b.t.Context(), &n, `SELECT count(*) FROM documents WHERE unannounced_at IS NOT NULL`); err != nil {
		b.t.Fatal(err)
	}
	return n
}

func TestTelling(t *testing.T) {
	server, operator := announced(t)
	conn := connect(t, server.URL, server.Passwords[nats.UserAPI])
	b := setup(t, func(c *api.Config) { c.NATS = conn })
	d := b.alice.confirmed("a", []byte("x"))
	eventually(t, "the mark of uploaded is cleared", func() bool { return b.unannounced() == 0 })
	b.alice.delete(path(d)).is(202)
	eventually(t, "the mark of deleting is cleared", func() bool { return b.unannounced() == 0 })
	b.alice.delete(path(d)).is(202)
	if got := strings.Join(told(t, operator, d.ID), " "); got != "documents.uploaded documents.deleting" {
		t.Errorf("told: %s", got)
	}

	// While NATS is down all works, at once, and stays marked for the sweeper.
	server.Stop()
	eventually(t, "the connection is seen to be lost", func() bool { return !conn.Connected() })
	began := time.Now()
	second := b.alice.confirmed("b", []byte("y"))
	b.alice.delete(path(second)).is(202)
	t.Logf("upload, confirm and DELETE with NATS down took %s", time.Since(began))
	if n := b.unannounced(); n != 1 {
		t.Errorf("%d documents are unannounced", n)
	}
}

// TestHungNATS: a NATS that takes everything and answers nothing holds nobody up.
func TestHungNATS(t *testing.T) {
	t.Parallel()
	server, operator := announced(t)
	wire := startWire(t, strings.TrimPrefix(server.URL, "nats://"))
	conn := connect(t, "nats://"+wire.address, server.Passwords[nats.UserAPI])
	eventually(t, "connected", conn.Connected)
	b := setup(t, func(c *api.Config) { c.NATS = conn })
	d := b.alice.upload("a", []byte("x"))
	wire.hang()
	began := time.Now()
	b.alice.post(path(d)+"/confirm", nil).is(200)
	b.alice.delete(path(d)).is(202)
	if took := time.Since(began); took > 1500*time.Millisecond { // a publish waits 2 s
		t.Errorf("with NATS hung, confirm and DELETE took %s", took)
	} else {
		t.Logf("with NATS hung, confirm and DELETE took %s", took)
	}
	if n := b.unannounced(); n != 1 {
		t.Errorf("%d documents are unannounced", n)
	}
	if _, err := operator.JetStream().Stream(context.WithoutCancel(t.Context()), schema.StreamDocuments); err != nil {
		t.Fatalf("NATS itself is away: %v", err)
	}
}

// wire forwards to an address until it hangs.
type wire struct {
	address string
	mu      sync.Mutex
	hung    bool
	conns   []net.Conn
}

func startWire(t *testing.T, to string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{address: listener.Addr().String()}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, client, server)
			w.mu.Unlock()
			running.Go(func() { _, _ = io.Copy(client, hangable{server, w}) })
			running.Go(func() { _, _ = io.Copy(server, hangable{client, w}) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		w.mu.Lock()
		for _, c := range w.conns {
			_ = c.Close()
		}
		w.mu.Unlock()
		running.Wait()
	})
	return w
}

func (w *wire) hang() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hung = true
}

// hangable reads what arrives, and keeps it to itself once the wire hangs.
type hangable struct {
	from net.Conn
	wire *wire
}

func (h hangable) Read(p []byte) (int, error) {
	for {
		n, err := h.from.Read(p)
		h.wire.mu.Lock()
		hung := h.wire.hung
		h.wire.mu.Unlock()
		if !hung || err != nil {
			return n, err
		}
	}
}
