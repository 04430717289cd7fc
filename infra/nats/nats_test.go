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

const timeout = 20 * time.Second

func connect(t *testing.T, server *localtest.NATSServer, user string) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(t.Context(), nats.Options{
		URL: server.URL, User: user, Password: server.Passwords[user], Name: "test", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func provision(t *testing.T, server *localtest.NATSServer) *nats.Conn {
	t.Helper()
	operator := connect(t, server, nats.UserOperator)
	if err := nats.Provision(t.Context(), operator, nats.StreamLimits{}); err != nil {
		t.Fatal(err)
	}
	return operator
}

func uploaded() schema.Document {
	d := schema.NewDocument(uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7()), "a.txt", "text/plain", 3, time.Now())
	d.Confirm(schema.Object{Size: 3, ETag: "e"}, &schema.Quota{LimitBytes: 10}, time.Now())
	return d
}

// eventually waits until ok is true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(timeout)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within %s", what, timeout)
		case <-tick.C:
		}
	}
}

func TestProvisionTwiceKeepsWhatTheStreamsHold(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	if _, err := operator.Publish(t.Context(), []schema.Document{uploaded()}); err != nil {
		t.Fatal(err)
	}
	if err := nats.Provision(t.Context(), operator, nats.StreamLimits{MaxAge: time.Hour, DocumentsBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	stream, err := operator.JetStream().Stream(t.Context(), schema.StreamDocuments)
	if err != nil {
		t.Fatal(err)
	}
	info := stream.CachedInfo()
	if info.State.Msgs != 1 || info.Config.MaxAge != time.Hour || info.Config.MaxBytes != 1<<20 {
		t.Errorf("after a second Provision: %d messages, age %s, %d bytes", info.State.Msgs, info.Config.MaxAge, info.Config.MaxBytes)
	}
	if info.Config.Retention != jetstream.LimitsPolicy || info.Config.Discard != jetstream.DiscardNew || info.Config.Storage != jetstream.FileStorage || !info.Config.AllowAtomicPublish {
		t.Errorf("stream is %+v", info.Config)
	}
}

func TestPublishStoresEachVersionOnce(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	api := connect(t, server, nats.UserAPI)
	a, b := uploaded(), uploaded()
	docs := []schema.Document{a, b}
	for range 3 {
		published, err := api.Publish(t.Context(), docs)
		if err != nil || len(published) != 2 || published[0].ID != a.ID || published[1].ID != b.ID {
			t.Fatalf("got %v, %v; want both documents", published, err)
		}
	}
	stream, err := operator.JetStream().Stream(t.Context(), schema.StreamDocuments)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 2 {
		t.Errorf("the stream holds %d messages, want 2", n)
	}
	msg, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	event, err := schema.DecodeDocumentEvent(msg.Data)
	if err != nil || event.DocumentID != a.ID || msg.Subject != schema.SubjectDocumentUploaded || msg.Header.Get("Nats-Msg-Id") != a.MessageID() {
		t.Errorf("stored %s %v %+v, %v", msg.Subject, msg.Header, event, err)
	}

	a.MarkUnpublished(time.Now())
	if _, err := api.Publish(t.Context(), []schema.Document{a}); err != nil {
		t.Fatal(err)
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != 3 {
		t.Errorf("a document published again on purpose was taken for a duplicate: %+v, %v", info, err)
	}
}

func TestPublishWithoutServerFailsAtOnce(t *testing.T) {
	server := localtest.NATS(t)
	provision(t, server)
	api := connect(t, server, nats.UserAPI)
	server.Stop()
	eventually(t, "the loss is noticed", func() bool { return !api.Connected() })

	began := time.Now()
	published, err := api.Publish(t.Context(), []schema.Document{uploaded()})
	if !errors.Is(err, nats.ErrUnavailable) || len(published) != 0 {
		t.Errorf("got %v, %v; want ErrUnavailable", published, err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s", took)
	}
	if err := api.Ping(t.Context()); !errors.Is(err, nats.ErrUnavailable) {
		t.Errorf("Ping = %v; want ErrUnavailable", err)
	}

	server.Start()
	eventually(t, "it connects again", api.Connected)
	if published, err := api.Publish(t.Context(), []schema.Document{uploaded()}); err != nil || len(published) != 1 {
		t.Errorf("after the outage: %v, %v", published, err)
	}
}

func TestPublishWithoutStream(t *testing.T) {
	server := localtest.NATS(t)
	api := connect(t, server, nats.UserAPI)
	if published, err := api.Publish(t.Context(), []schema.Document{uploaded()}); !errors.Is(err, nats.ErrUnavailable) || len(published) != 0 {
		t.Errorf("got %v, %v; want ErrUnavailable", published, err)
	}
}

func TestFullStreamRefusesAndSaysWhatWasStored(t *testing.T) {
	server := localtest.NATS(t)
	operator := connect(t, server, nats.UserOperator)
	if err := nats.Provision(t.Context(), operator, nats.StreamLimits{DocumentsBytes: 4 << 10}); err != nil {
		t.Fatal(err)
	}
	docs := make([]schema.Document, 50)
	for i := range docs {
		docs[i] = uploaded()
	}
	published, err := operator.Publish(t.Context(), docs)
	if err == nil || len(published) == 0 || len(published) == len(docs) {
		t.Fatalf("got %d published, %v; want those before the stream was full", len(published), err)
	}
	stream, err := operator.JetStream().Stream(t.Context(), schema.StreamDocuments)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != uint64(len(published)) {
		t.Errorf("%d are said to be stored, %d are", len(published), n)
	}
}

func TestConnectToAnAbsentServer(t *testing.T) {
	server := localtest.NATS(t)
	server.Stop()
	conn := connect(t, server, nats.UserWorker)
	if conn.Connected() {
		t.Fatal("connected to nothing")
	}
	server.Start()
	eventually(t, "it connects", conn.Connected)
}

func TestConnectSaysThatThePasswordIsWrong(t *testing.T) {
	server := localtest.NATS(t)
	conn, err := nats.Connect(t.Context(), nats.Options{
		URL: server.URL, User: nats.UserAPI, Password: "wrong", Log: slog.New(slog.DiscardHandler),
	})
	if !errors.Is(err, natsgo.ErrAuthorization) {
		t.Errorf("Connect = %v; want ErrAuthorization", err)
	}
	if conn != nil {
		conn.Close()
	}
}

func TestConnectRefusesEmptyOptions(t *testing.T) {
	if _, err := nats.Connect(context.Background(), nats.Options{URL: "nats://127.0.0.1:1"}); err == nil {
		t.Error("a connection as nobody was made")
	}
}

// ids returns how often the stream holds each message id.
func ids(t *testing.T, operator *nats.Conn) map[string]int {
	t.Helper()
	stream, err := operator.JetStream().Stream(t.Context(), schema.StreamDocuments)
	if err != nil {
		t.Fatal(err)
	}
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

func TestManyArePublishedOnceThoughSomeWereBefore(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	worker := connect(t, server, nats.UserWorker)
	docs := make([]schema.Document, 1300) // more than a batch
	for i := range docs {
		docs[i] = uploaded()
	}
	for i, of := range [][]schema.Document{docs[7:8], docs, docs} {
		published, err := worker.Publish(t.Context(), of)
		if err != nil || len(published) != len(of) || published[0].ID != of[0].ID || published[len(published)-1].ID != of[len(of)-1].ID {
			t.Fatalf("call %d: %d of %d published, %v", i, len(published), len(of), err)
		}
	}
	count := ids(t, operator)
	for _, d := range docs {
		if count[d.MessageID()] != 1 {
			t.Errorf("%s is stored %d times", d.MessageID(), count[d.MessageID()])
		}
	}
	if len(count) != len(docs) {
		t.Errorf("%d ids are stored, want %d", len(count), len(docs))
	}
}

func TestManyWhereTheStreamTakesNoBatches(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	stream, err := operator.JetStream().Stream(t.Context(), schema.StreamDocuments)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.AllowAtomicPublish = false
	if _, err := operator.JetStream().UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	docs := make([]schema.Document, 40)
	for i := range docs {
		docs[i] = uploaded()
	}
	published, err := operator.Publish(t.Context(), docs)
	if err != nil || len(published) != len(docs) || len(ids(t, operator)) != len(docs) {
		t.Errorf("%d of %d published, %d stored, %v", len(published), len(docs), len(ids(t, operator)), err)
	}
}

func TestABatchOutlivesTheServer(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	docs := make([]schema.Document, 100)
	for i := range docs {
		docs[i] = uploaded()
	}
	if published, err := operator.Publish(t.Context(), docs); err != nil || len(published) != len(docs) {
		t.Fatalf("%d published, %v", len(published), err)
	}
	server.Stop()
	server.Start()
	eventually(t, "it connects again", operator.Connected)
	if n := len(ids(t, operator)); n != len(docs) {
		t.Errorf("%d are stored, want %d", n, len(docs))
	}
}
