package nats_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	natsgo "github.com/nats-io/nats.go"

	"intray/infra/local/localtest"
	"intray/infra/nats"
	"intray/schema"
)

// recorder records the calls of Follow.
type recorder struct {
	sync.Mutex
	events    []uuid.UUID
	sequences []uint64
	resets    []uint64
}

// follow runs Follow until the end of the test.
func follow(t *testing.T, conn *nats.Conn, history uint64) *recorder {
	t.Helper()
	r := &recorder{}
	handle := func(sequence uint64, e schema.DocumentEvent) {
		r.Lock()
		defer r.Unlock()
		r.events, r.sequences = append(r.events, e.DocumentID), append(r.sequences, sequence)
	}
	reset := func(_ time.Time, after uint64) {
		r.Lock()
		defer r.Unlock()
		r.resets = append(r.resets, after)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- conn.Follow(ctx, history, handle, reset) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Follow: got %v, want nil after its context ended", err)
		}
	})
	return r
}

func (r *recorder) count() (events, resets int) {
	r.Lock()
	defer r.Unlock()
	return len(r.events), len(r.resets)
}

// expect waits for as many events as there are docs, and fails the test unless they are the events
// of docs in this order, with sequence numbers that start at from.
func (r *recorder) expect(t *testing.T, docs []schema.Document, from uint64) {
	t.Helper()
	eventually(t, "all events arrive", func() bool { n, _ := r.count(); return n >= len(docs) })
	r.Lock()
	defer r.Unlock()
	if len(r.events) != len(docs) {
		t.Fatalf("got %d events, want %d", len(r.events), len(docs))
	}
	for i, d := range docs {
		if want := from + uint64(i); r.events[i] != d.ID || r.sequences[i] != want {
			t.Fatalf("event %d: got document %s at sequence %d, want %s at %d",
				i, r.events[i], r.sequences[i], d.ID, want)
		}
	}
}

// expectResets waits for as many resets as want has, and fails the test unless the resets equal
// want.
func (r *recorder) expectResets(t *testing.T, want ...uint64) {
	t.Helper()
	eventually(t, "all resets arrive", func() bool { _, n := r.count(); return n >= len(want) })
	r.Lock()
	defer r.Unlock()
	if !slices.Equal(r.resets, want) {
		t.Fatalf("got resets after %v, want after %v", r.resets, want)
	}
}

func documents(n int) []schema.Document {
	docs := make([]schema.Document, n)
	for i := range docs {
		docs[i] = uploaded()
	}
	return docs
}

func publish(t testing.TB, conn *nats.Conn, docs []schema.Document) {
	t.Helper()
	published, err := conn.Publish(t.Context(), docs)
	if err != nil || len(published) != len(docs) {
		t.Fatalf("Publish: got %d documents, %v; want %d", len(published), err, len(docs))
	}
}

// The follower connects as the API, so this also tests the API's permissions.
func TestFollow(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	docs := documents(2000)
	publish(t, operator, docs[:1200])
	r := follow(t, connect(t, server, nats.UserAPI), 1100)
	t.Run("stored events of the history come first", func(t *testing.T) {
		r.expect(t, docs[100:1200], 101)
	})
	t.Run("new events follow, once each and in order", func(t *testing.T) {
		for _, d := range docs[1200:1210] {
			publish(t, operator, []schema.Document{d})
		}
		publish(t, operator, docs[1210:])
		publish(t, operator, docs[1990:]) // the stream drops these duplicates
		r.expect(t, docs[100:], 101)
	})
	t.Run("reset is called once, before the first event", func(t *testing.T) {
		r.expectResets(t, 100)
	})
}

// A follower receives new events from the server as they are stored, without reading the stream.
func TestFollowReceivesNewEventsWithoutReading(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	reads := make(chan *natsgo.Msg, 100)
	subject := "$JS.API.DIRECT.GET." + schema.StreamDocuments
	if _, err := operator.Core().ChanSubscribe(subject, reads); err != nil {
		t.Fatal(err)
	}
	countReads := func() int {
		if err := operator.Core().Flush(); err != nil {
			t.Fatal(err)
		}
		return len(reads)
	}
	api := connect(t, server, nats.UserAPI)
	r := follow(t, api, 0)
	r.expectResets(t, 0)
	docs := documents(3)
	publish(t, operator, docs)
	r.expect(t, docs, 1)
	if n := countReads(); n != 0 {
		t.Errorf("new events: got %d reads of the stream, want 0", n)
	}

	// A follower with a history must read the stream, which shows that the test counts reads.
	follow(t, api, 3).expect(t, docs, 1)
	if n := countReads(); n == 0 {
		t.Error("history: got 0 reads of the stream, want at least 1")
	}
}

func TestFollowAcrossOutages(t *testing.T) {
	server := localtest.NATS(t)
	provision(t, server)
	api := connect(t, server, nats.UserAPI)
	r := follow(t, api, 0)
	r.expectResets(t, 0)
	docs := documents(3)
	restart := func(t *testing.T) {
		t.Helper()
		server.Stop()
		eventually(t, "the API loses its connection", func() bool { return !api.Connected() })
		server.Start()
	}
	t.Run("events stored during an outage arrive after it", func(t *testing.T) {
		restart(t)
		publish(t, connect(t, server, nats.UserOperator), docs[:2])
		r.expect(t, docs[:2], 1)
	})
	t.Run("a stream that was created again causes a reset", func(t *testing.T) {
		restart(t)
		operator := connect(t, server, nats.UserOperator)
		err := operator.JetStream().DeleteStream(t.Context(), schema.StreamDocuments)
		if err != nil {
			t.Fatal(err)
		}
		if err := nats.Provision(t.Context(), operator, nats.StreamLimits{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the API reconnects", api.Connected)
		publish(t, operator, docs[2:])
		eventually(t, "a reset arrives", func() bool { _, resets := r.count(); return resets == 2 })
	})
}

// A stream that was deleted, and created again while the follower was disconnected, causes a reset
// although it has at least as many events as the follower has handled.
func TestFollowRecreatedStreamWithTheSameNumbers(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	docs := documents(6)
	publish(t, operator, docs[:3])
	api := connect(t, server, nats.UserAPI)
	r := follow(t, api, 10)
	r.expect(t, docs[:3], 1)

	operator.Close()
	server.Stop()
	eventually(t, "the API loses its connection", func() bool { return !api.Connected() })
	// The API's password is refused until the new stream has its events.
	password := server.Passwords[nats.UserAPI]
	server.Passwords[nats.UserAPI] = "other"
	server.Start()
	operator = connect(t, server, nats.UserOperator)
	if err := operator.JetStream().DeleteStream(t.Context(), schema.StreamDocuments); err != nil {
		t.Fatal(err)
	}
	if err := nats.Provision(t.Context(), operator, nats.StreamLimits{}); err != nil {
		t.Fatal(err)
	}
	publish(t, operator, docs[3:])
	operator.Close()
	server.Stop()
	server.Passwords[nats.UserAPI] = password
	server.Start()
	r.expectResets(t, 0, 3)
	publish(t, connect(t, server, nats.UserOperator), documents(1))
	eventually(t, "the next event arrives", func() bool { events, _ := r.count(); return events == 4 })
}
