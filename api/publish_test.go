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

// announced starts NATS with its streams and returns it with an operator's
// connection.
func announced(t *testing.T) (*localtest.NATSServer, *nats.Conn) {
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

// published returns the subjects of what the stream holds about the document.
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

func (b *bundle) unpublished() (n int) {
	b.t.Helper()
	const query = `SELECT count(*) FROM documents WHERE unpublished_at IS NOT NULL`
	if err := b.sql.GetContext(b.t.Context(), &n, query); err != nil {
		b.t.Fatal(err)
	}
	return n
}

func TestTelling(t *testing.T) {
	server, operator := announced(t)
	conn := connect(t, server.URL, server.Passwords[nats.UserAPI])
	b := setup(t, func(c *api.Config) { c.NATS = conn })
	d := b.alice.confirmed("a", []byte("x"))
	eventually(t, "the mark of uploaded is cleared", func() bool { return b.unpublished() == 0 })
	b.alice.delete(path(d)).is(202)
	eventually(t, "the mark of deleting is cleared", func() bool { return b.unpublished() == 0 })
	b.alice.delete(path(d)).is(202)
	const want = "documents.uploaded documents.deleting"
	if got := strings.Join(published(t, operator, d.ID), " "); got != want {
		t.Errorf("got the events %q, want %q", got, want)
	}

	// While NATS is down all works, at once, and stays marked for the sweeper.
	server.Stop()
	eventually(t, "the connection is seen to be lost", func() bool { return !conn.Connected() })
	began := time.Now()
	second := b.alice.confirmed("b", []byte("y"))
	b.alice.delete(path(second)).is(202)
	t.Logf("upload, confirm and DELETE with NATS down took %s", time.Since(began))
	if n := b.unpublished(); n != 1 {
		t.Errorf("%d documents are unannounced", n)
	}
}

// TestHungNATS: a NATS that takes everything and answers nothing holds nobody up. The
// answer comes before publishing has failed; on a busy machine it may take some uploads
// to see that.
func TestHungNATS(t *testing.T) {
	t.Parallel()
	server, _ := announced(t)
	proxy := startProxy(t, strings.TrimPrefix(server.URL, "nats://"))
	conn := connect(t, "nats://"+proxy.address, server.Passwords[nats.UserAPI])
	eventually(t, "connected", conn.Connected)
	b := setup(t, func(c *api.Config) { c.NATS = conn })
	proxy.hung.Store(true)
	failures := func() int { return strings.Count(b.log.String(), "unpublished") }
	const most = 5
	for i := range most {
		d := b.alice.upload(itoa(i), []byte("x"))
		before := failures()
		b.alice.post(path(d)+"/confirm", nil).is(200)
		after := failures()
		if n := b.unpublished(); n != i+1 {
			t.Errorf("got %d unpublished documents, want %d", n, i+1)
		}
		if after == before {
			return
		}
	}
	t.Errorf("got %d answers, each after publishing had failed, want one before", most)
}
