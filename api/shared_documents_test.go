package api

import (
	"context"
	"errors"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// The streams of a user share what is read of a document. Each of them gets one that is at least as
// new as the change.
func TestDocumentsAreShared(t *testing.T) {
	var (
		shared   sharedDocuments
		recorded atomic.Uint64
		queries  atomic.Int32
		filename = "first"
		id       = uuid.New()
		failure  error
	)
	query := func(ids []uuid.UUID) ([]postgres.DocumentView, error) {
		queries.Add(1)
		if filename == "" {
			return nil, failure
		}
		return []postgres.DocumentView{{Document: schema.Document{ID: ids[0], Filename: filename}}}, nil
	}
	read := func(sequence uint64) (map[uuid.UUID][]byte, error) {
		return shared.read(time.Now(), []change{{sequence: sequence, document: id}}, recorded.Load, query)
	}
	want := func(name string, n int32) {
		t.Helper()
		if got := queries.Load(); got != n {
			t.Errorf("%s: got %d queries in total, want %d", name, got, n)
		}
	}

	recorded.Store(7)
	var streams sync.WaitGroup
	for range maxStreamsPerUser {
		streams.Go(func() {
			if documents, err := read(7); err != nil || documents[id] == nil {
				t.Errorf("got %s, %v, want a document", documents[id], err)
			}
		})
	}
	streams.Wait()
	want("all streams", 1)

	filename = "second"
	recorded.Store(8)
	first, err := read(7)
	if err != nil {
		t.Fatal(err)
	}
	second, err := read(8)
	if err != nil {
		t.Fatal(err)
	}
	want("a later change", 2)
	if string(first[id]) == string(second[id]) {
		t.Error("got the document as it was before the change, want it as it is afterwards")
	}

	filename = ""
	recorded.Store(9)
	if documents, err := read(9); err != nil || documents[id] != nil {
		t.Errorf("a deleted document: got %s, %v, want none", documents[id], err)
	}
	if documents, err := read(9); err != nil || documents[id] != nil {
		t.Errorf("a deleted document, again: got %s, %v, want none", documents[id], err)
	}
	want("a deleted document", 3)

	failure = errors.New("no database")
	recorded.Store(10)
	if _, err := read(10); !errors.Is(err, failure) {
		t.Errorf("got error %v, want %v", err, failure)
	}
	failure = nil
	if _, err := read(10); err != nil {
		t.Errorf("after a failure: got error %v, want none", err)
	}
	want("a failure", 5)
}

// If a query fails, the streams that have waited for its result do not repeat it.
func TestFailedReadIsShared(t *testing.T) {
	var shared sharedDocuments
	var queries atomic.Int32
	recorded := func() uint64 { return 1 }
	query := func([]uuid.UUID) ([]postgres.DocumentView, error) {
		queries.Add(1)
		return nil, errors.New("no database")
	}
	called := time.Now()
	var streams sync.WaitGroup
	for range 20 {
		streams.Go(func() {
			changes := []change{{sequence: 1, document: uuid.New()}}
			if _, err := shared.read(called, changes, recorded, query); err == nil {
				t.Error("got no error, want one")
			}
		})
	}
	streams.Wait()
	if got := queries.Load(); got != 1 {
		t.Errorf("got %d queries, want 1", got)
	}
}

// What a stream has read expires, because parts of a document change without an event.
func TestSharedDocumentsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var shared sharedDocuments
		queries := 0
		read := func() {
			recorded := func() uint64 { return 1 }
			query := func([]uuid.UUID) ([]postgres.DocumentView, error) { queries++; return nil, nil }
			if _, err := shared.read(time.Now(), []change{{sequence: 1}}, recorded, query); err != nil {
				t.Error(err)
			}
		}
		read()
		time.Sleep(maxSharedAge) //nolint:forbidigo // the clock of synctest is not real
		read()
		if queries != 1 {
			t.Errorf("got %d queries within %s, want 1", queries, maxSharedAge)
		}
		time.Sleep(time.Nanosecond) //nolint:forbidigo // the clock of synctest is not real
		read()
		if queries != 2 {
			t.Errorf("got %d queries after %s, want 2", queries, maxSharedAge)
		}
	})
}

// The more streams a user has, the less often each of them is written.
func TestManyStreamsPauseBetweenWrites(t *testing.T) {
	for streams, most := range map[int]int{1: 1000, 10: 1000, 200: 6} {
		synctest.Test(t, func(t *testing.T) {
			n := newNotifier()
			user := uuid.New()
			ctx, cancel := context.WithCancel(withCaller(httptest.NewRequest("GET", "/", nil),
				caller{id: user}).Context())
			ids, err := newEventIDs([][]byte{make([]byte, 32)}, user)
			if err != nil {
				t.Fatal(err)
			}
			var w *waiter
			for range streams {
				w = n.addStream(user, nil)
			}
			c := Config{}.withDefaults()
			c.Timeouts.Heartbeat = time.Hour
			e := eventStream{server: &server{notifier: n, config: c}, ctx: ctx, ids: ids}
			response := countingWriter{httptest.NewRecorder(), new(int)}
			var sending sync.WaitGroup
			sending.Go(func() { e.send(response, w) })
			synctest.Wait()
			*response.writes = 0
			for range 1000 {
				n.hint(schema.HintQuota, user)
				synctest.Wait()
				time.Sleep(time.Millisecond) //nolint:forbidigo // the clock of synctest is not real
			}
			cancel()
			sending.Wait()
			if got := *response.writes; got > most || got < most-1 {
				t.Errorf("%d streams: got %d writes within a second, want %d or one less",
					streams, got, most)
			}
		})
	}
}

type countingWriter struct {
	*httptest.ResponseRecorder
	writes *int
}

func (w countingWriter) Write(text []byte) (int, error) {
	*w.writes++
	return w.ResponseRecorder.Write(text)
}
