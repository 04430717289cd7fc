package nats_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"intray/infra/local/localtest"
	"intray/infra/nats"
	"intray/schema"
)

func TestMain(m *testing.M) {
	localtest.RunHelperProcess()
	goleak.VerifyTestMain(m)
}

// timeout is how long eventually waits. It only limits how long a failing test takes.
const timeout = time.Minute

func connect(t testing.TB, server *localtest.NATSServer, user string) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(t.Context(), nats.Options{
		URL:      server.URL,
		User:     user,
		Password: server.Passwords[user],
		Name:     "test",
		Log:      slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// provision creates the streams and returns the operator's connection.
func provision(t *testing.T, server *localtest.NATSServer) *nats.Conn {
	t.Helper()
	operator := connect(t, server, nats.UserOperator)
	if err := nats.Provision(t.Context(), operator, nats.StreamLimits{}); err != nil {
		t.Fatal(err)
	}
	return operator
}

// documentsStream returns the DOCUMENTS stream with its current state.
func documentsStream(t *testing.T, operator *nats.Conn) jetstream.Stream {
	t.Helper()
	stream, err := operator.JetStream().Stream(t.Context(), schema.StreamDocuments)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// uploaded returns a new document with the status uploaded.
func uploaded() schema.Document {
	id, user := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	d := schema.NewDocument(id, user, "a.txt", "text/plain", 3, time.Now())
	d.Confirm(schema.Object{Size: 3, ETag: "e"}, &schema.Quota{LimitBytes: 10}, time.Now())
	return d
}

// eventually waits until ok returns true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(timeout)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("timed out after %s waiting until %s", timeout, what)
		case <-tick.C:
		}
	}
}

func TestPublishStoresEachVersionOnce(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	api := connect(t, server, nats.UserAPI)
	a, b := uploaded(), uploaded()
	for range 3 {
		published, err := api.Publish(t.Context(), []schema.Document{a, b})
		if err != nil || len(published) != 2 || published[0].ID != a.ID || published[1].ID != b.ID {
			t.Fatalf("Publish: got %v, %v; want both documents", published, err)
		}
	}
	stream := documentsStream(t, operator)
	t.Run("duplicates are dropped", func(t *testing.T) {
		if n := stream.CachedInfo().State.Msgs; n != 2 {
			t.Errorf("got %d stored messages, want 2", n)
		}
	})
	t.Run("the message is the document's event", func(t *testing.T) {
		msg, err := stream.GetMsg(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		event, err := schema.DecodeDocumentEvent(msg.Data)
		if err != nil || event.DocumentID != a.ID {
			t.Errorf("got event %+v, %v; want document %s", event, err, a.ID)
		}
		if msg.Subject != schema.SubjectDocumentUploaded {
			t.Errorf("got subject %s, want %s", msg.Subject, schema.SubjectDocumentUploaded)
		}
		if id := msg.Header.Get("Nats-Msg-Id"); id != a.MessageID() {
			t.Errorf("got message ID %s, want %s", id, a.MessageID())
		}
	})
	t.Run("another announcement of a version is stored", func(t *testing.T) {
		a.MarkUnpublished(time.Now())
		publish(t, api, []schema.Document{a})
		info, err := stream.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info.State.Msgs != 3 {
			t.Errorf("got %d stored messages, want 3", info.State.Msgs)
		}
	})
}

func TestPublishDuringAnOutage(t *testing.T) {
	server := localtest.NATS(t)
	provision(t, server)
	api := connect(t, server, nats.UserAPI)
	server.Stop()
	eventually(t, "the API loses its connection", func() bool { return !api.Connected() })

	t.Run("Publish fails without waiting", func(t *testing.T) {
		// If Publish waited for anything, it would return the error of the canceled context.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		published, err := api.Publish(ctx, documents(1))
		if !errors.Is(err, nats.ErrUnavailable) || errors.Is(err, context.Canceled) {
			t.Errorf("got error %v, want ErrUnavailable", err)
		}
		if len(published) != 0 {
			t.Errorf("got %d published documents, want 0", len(published))
		}
	})
	t.Run("Ping fails", func(t *testing.T) {
		if err := api.Ping(t.Context()); !errors.Is(err, nats.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
	})
	t.Run("Publish succeeds after reconnecting", func(t *testing.T) {
		server.Start()
		eventually(t, "the API reconnects", api.Connected)
		publish(t, api, documents(1))
	})
}

func TestPublishWithoutStreamIsUnavailable(t *testing.T) {
	server := localtest.NATS(t)
	api := connect(t, server, nats.UserAPI)
	published, err := api.Publish(t.Context(), documents(1))
	if !errors.Is(err, nats.ErrUnavailable) || len(published) != 0 {
		t.Errorf("got %d documents, %v; want 0, ErrUnavailable", len(published), err)
	}
}

func TestPublishToFullStreamReturnsStoredDocuments(t *testing.T) {
	server := localtest.NATS(t)
	operator := connect(t, server, nats.UserOperator)
	limits := nats.StreamLimits{DocumentsBytes: 4 << 10}
	if err := nats.Provision(t.Context(), operator, limits); err != nil {
		t.Fatal(err)
	}
	docs := documents(50)
	published, err := operator.Publish(t.Context(), docs)
	if err == nil || len(published) == 0 || len(published) == len(docs) {
		t.Fatalf("got %d of %d documents, %v; want some documents and an error",
			len(published), len(docs), err)
	}
	n := documentsStream(t, operator).CachedInfo().State.Msgs
	if n != uint64(len(published)) {
		t.Errorf("got %d documents, but %d messages are stored", len(published), n)
	}
}

func TestConnectBeforeTheServerStarts(t *testing.T) {
	server := localtest.NATS(t)
	server.Stop()
	conn := connect(t, server, nats.UserWorker)
	if conn.Connected() {
		t.Fatal("Connected: got true without a server, want false")
	}
	server.Start()
	eventually(t, "the connection is established", conn.Connected)
}

func TestConnectWithWrongPassword(t *testing.T) {
	server := localtest.NATS(t)
	conn, err := nats.Connect(t.Context(), nats.Options{
		URL:      server.URL,
		User:     nats.UserAPI,
		Password: "wrong",
		Log:      slog.New(slog.DiscardHandler),
	})
	if !errors.Is(err, natsgo.ErrAuthorization) {
		t.Errorf("got %v, want ErrAuthorization", err)
	}
	if conn != nil {
		conn.Close()
	}
}

func TestConnectRequiresAUser(t *testing.T) {
	options := nats.Options{URL: "nats://127.0.0.1:1", Log: slog.New(slog.DiscardHandler)}
	if conn, err := nats.Connect(t.Context(), options); err == nil {
		conn.Close()
		t.Error("got a connection without a user, want an error")
	}
}

// countByID returns the number of stored messages for each message ID.
func countByID(t *testing.T, operator *nats.Conn) map[string]int {
	t.Helper()
	stream := documentsStream(t, operator)
	count := map[string]int{}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		count[m.Header.Get("Nats-Msg-Id")]++
	}
	return count
}

func TestPublishBatchesWithDuplicates(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	worker := connect(t, server, nats.UserWorker)
	docs := documents(1300) // more than one batch
	for i, list := range [][]schema.Document{docs[7:8], docs, docs} {
		published, err := worker.Publish(t.Context(), list)
		if err != nil || len(published) != len(list) {
			t.Fatalf("call %d: got %d documents, %v; want %d", i, len(published), err, len(list))
		}
		first, last := published[0].ID, published[len(published)-1].ID
		if first != list[0].ID || last != list[len(list)-1].ID {
			t.Fatalf("call %d: got documents %s to %s, want them in the order of the argument",
				i, first, last)
		}
	}
	count := countByID(t, operator)
	for _, d := range docs {
		if n := count[d.MessageID()]; n != 1 {
			t.Errorf("message %s: got %d copies, want 1", d.MessageID(), n)
		}
	}
	if len(count) != len(docs) {
		t.Errorf("got %d message IDs, want %d", len(count), len(docs))
	}
}

func TestPublishToStreamWithoutBatches(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	config := documentsStream(t, operator).CachedInfo().Config
	config.AllowAtomicPublish = false
	if _, err := operator.JetStream().UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	docs := documents(40)
	publish(t, operator, docs)
	if n := len(countByID(t, operator)); n != len(docs) {
		t.Errorf("got %d stored messages, want %d", n, len(docs))
	}
}

func TestBatchSurvivesARestart(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	docs := documents(100)
	publish(t, operator, docs)
	server.Stop()
	server.Start()
	eventually(t, "the operator reconnects", operator.Connected)
	if n := len(countByID(t, operator)); n != len(docs) {
		t.Errorf("got %d stored messages, want %d", n, len(docs))
	}
}
