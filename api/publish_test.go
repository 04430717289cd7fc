package api_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/api"
	"intray/infra/local/localtest"
	"intray/infra/nats"
	"intray/schema"
)

// startNATS starts NATS with its streams. It also returns an operator's connection.
func startNATS(t *testing.T) (*localtest.NATSServer, *nats.Conn) {
	t.Helper()
	server := localtest.NATS(t)
	operator, err := nats.Connect(t.Context(), nats.Options{
		URL:      server.URL,
		User:     nats.UserOperator,
		Password: server.Passwords[nats.UserOperator],
		Name:     "test",
		Log:      slog.New(slog.DiscardHandler),
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

// published returns the subjects of the document's events in the stream.
func published(t *testing.T, operator *nats.Conn, id uuid.UUID) (subjects []string) {
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

// unpublished returns the number of documents whose last change has not been published yet.
func (b *bundle) unpublished() (n int) {
	b.t.Helper()
	const query = `SELECT count(*) FROM documents WHERE unpublished_at IS NOT NULL`
	if err := b.sql.GetContext(b.t.Context(), &n, query); err != nil {
		b.t.Fatal(err)
	}
	return n
}

func TestChangesArePublished(t *testing.T) {
	server, operator := startNATS(t)
	conn := connect(t, server.URL, server.Passwords[nats.UserAPI])
	b := setup(t, func(c *api.Config) { c.NATS = conn })
	t.Run("once each", func(t *testing.T) {
		b := b.in(t)
		d := b.alice.confirmed("a", []byte("x"))
		eventually(t, "uploaded is published", func() bool { return b.unpublished() == 0 })
		b.alice.delete(path(d)).is(202)
		eventually(t, "deleting is published", func() bool { return b.unpublished() == 0 })
		b.alice.delete(path(d)).is(202)
		const want = "documents.uploaded documents.deleting"
		if got := strings.Join(published(t, operator, d.ID), " "); got != want {
			t.Errorf("got the events %q, want %q", got, want)
		}
	})
	t.Run("later if NATS is down", func(t *testing.T) {
		b := b.in(t)
		server.Stop()
		eventually(t, "the connection is lost", func() bool { return !conn.Connected() })
		began := time.Now()
		d := b.alice.confirmed("b", []byte("y"))
		b.alice.delete(path(d)).is(202)
		t.Logf("upload, confirm and DELETE without NATS took %s", time.Since(began))
		if got := b.unpublished(); got != 1 {
			t.Errorf("got %d unpublished documents, want 1", got)
		}
	})
}

// TestHungNATSDelaysNoResponse uses a NATS server that accepts data and never responds. The
// response must be sent before publishing has failed. On a busy machine it may arrive later, so the
// test uploads several documents and needs only one that shows the order.
func TestHungNATSDelaysNoResponse(t *testing.T) {
	t.Parallel()
	server, _ := startNATS(t)
	proxy := startProxy(t, strings.TrimPrefix(server.URL, "nats://"))
	conn := connect(t, "nats://"+proxy.address, server.Passwords[nats.UserAPI])
	eventually(t, "NATS is connected", conn.Connected)
	b := setup(t, func(c *api.Config) { c.NATS = conn })
	proxy.hung.Store(true)
	failures := func() int {
		return strings.Count(b.log.String(), "failed to publish document events")
	}
	const uploads = 5
	for i := range uploads {
		d := b.alice.upload(itoa(i), []byte("x"))
		before := failures()
		b.alice.confirm(d)
		after := failures()
		if got := b.unpublished(); got != i+1 {
			t.Errorf("got %d unpublished documents, want %d", got, i+1)
		}
		if after == before {
			eventually(t, "the failure is logged", func() bool { return failures() > after })
			return
		}
	}
	t.Errorf("got %d responses, all after publishing had failed, want one before", uploads)
}
