package nats_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/infra/local/localtest"
	"intray/infra/nats"
	"intray/schema"
)

// followed is what a follower was called with.
type followed struct {
	sync.Mutex
	events []uuid.UUID
	at     []uint64
	resets []uint64
}

func follow(t *testing.T, conn *nats.Conn, history uint64) *followed {
	t.Helper()
	f := &followed{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- conn.Follow(ctx, history, func(sequence uint64, e schema.DocumentEvent) {
			f.Lock()
			defer f.Unlock()
			f.events, f.at = append(f.events, e.DocumentID), append(f.at, sequence)
		}, func(after uint64) {
			f.Lock()
			defer f.Unlock()
			f.resets = append(f.resets, after)
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Follow = %v", err)
		}
	})
	return f
}

func (f *followed) count() (events, resets int) {
	f.Lock()
	defer f.Unlock()
	return len(f.events), len(f.resets)
}

// are ends the test unless the follower was called with these, in order, from the
// sequence on.
func (f *followed) are(t *testing.T, docs []schema.Document, from uint64) {
	t.Helper()
	eventually(t, "all events follow", func() bool { n, _ := f.count(); return n >= len(docs) })
	f.Lock()
	defer f.Unlock()
	if len(f.events) != len(docs) {
		t.Fatalf("%d events, want %d", len(f.events), len(docs))
	}
	for i, d := range docs {
		if f.events[i] != d.ID || f.at[i] != from+uint64(i) {
			t.Fatalf("event %d is %s at %d, want %s at %d", i, f.events[i], f.at[i], d.ID, from+uint64(i))
		}
	}
}

func documents(n int) []schema.Document {
	docs := make([]schema.Document, n)
	for i := range docs {
		docs[i] = uploaded()
	}
	return docs
}

func publish(t *testing.T, conn *nats.Conn, docs []schema.Document) {
	t.Helper()
	if published, err := conn.Publish(t.Context(), docs); err != nil || len(published) != len(docs) {
		t.Fatalf("%d of %d published, %v", len(published), len(docs), err)
	}
}

// What was stored before comes first, then what comes, one by one or in a batch,
// each once and in order, with the rights of the API alone.
func TestFollow(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	docs := documents(2000)
	publish(t, operator, docs[:1200])
	f := follow(t, connect(t, server, nats.UserAPI), 1100)
	f.are(t, docs[100:1200], 101)
	for _, d := range docs[1200:1210] {
		publish(t, operator, []schema.Document{d})
	}
	publish(t, operator, docs[1210:])
	publish(t, operator, docs[1990:]) // swallowed: the stream has them
	f.are(t, docs[100:], 101)
	if _, resets := f.count(); resets != 1 || f.resets[0] != 100 {
		t.Errorf("resets %v, want one after 100", f.resets)
	}
}

// An event follows soon after it is stored.
func TestFollowIsQuick(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	f := follow(t, connect(t, server, nats.UserAPI), 0)
	eventually(t, "it has begun", func() bool { _, resets := f.count(); return resets == 1 })
	d := documents(1)
	publish(t, operator, d)
	began := time.Now()
	f.are(t, d, 1)
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s", took)
	} else {
		t.Logf("heard %s after the acknowledgment (looked for every 5 ms)", took)
	}
}

// A follower that was away hears what was stored meanwhile, and learns where
// that is not there any more.
func TestFollowOverAnOutage(t *testing.T) {
	server := localtest.NATS(t)
	provision(t, server)
	api := connect(t, server, nats.UserAPI)
	f := follow(t, api, 0)
	eventually(t, "it has begun", func() bool { _, resets := f.count(); return resets == 1 })

	docs := documents(3)
	server.Stop()
	eventually(t, "the loss is seen", func() bool { return !api.Connected() })
	server.Start()
	publish(t, connect(t, server, nats.UserOperator), docs[:2]) // before or after the API is back
	f.are(t, docs[:2], 1)

	server.Stop()
	eventually(t, "the loss is seen", func() bool { return !api.Connected() })
	server.Start()
	operator := connect(t, server, nats.UserOperator)
	if err := operator.JetStream().DeleteStream(t.Context(), schema.StreamDocuments); err != nil {
		t.Fatal(err)
	}
	if err := nats.Provision(t.Context(), operator, nats.StreamLimits{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the API is back", api.Connected)
	publish(t, operator, docs[2:])
	eventually(t, "the new stream is followed", func() bool { _, resets := f.count(); return resets == 2 })
}
