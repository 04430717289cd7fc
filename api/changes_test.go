package api

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"intray/schema"
)

// created is the creation time of the stream in these tests.
var created = time.Unix(1, 0)

// TestStreamReceivesLatestChanges records random changes and reads an event stream in batches of
// random size. The stream starts at a random position. It must return, in order, the latest change
// since then of each of its user's documents, or report that it missed changes. Its queue must not
// exceed maxUnsent.
func TestStreamReceivesLatestChanges(t *testing.T) {
	users := []uuid.UUID{uuid.New(), uuid.New()}
	documents := make([]uuid.UUID, 3*maxUnsent)
	for i := range documents {
		documents[i] = uuid.New()
	}
	rapid.Check(t, func(t *rapid.T) {
		n := newNotifier()
		base := rapid.Uint64Range(0, 3).Draw(t, "base")
		n.reset(created, base)
		last := base
		// record records changes of the first documentCount documents, and returns those of the stream's
		// user.
		record := func(count, documentCount int) (recorded []change) {
			for range count {
				last++
				e := schema.DocumentEvent{
					UserID:     users[rapid.IntRange(0, 1).Draw(t, "user")],
					DocumentID: documents[int(last)%documentCount],
					Version:    int64(last),
				}
				n.record(last, e)
				if e.UserID == users[0] {
					recorded = append(recorded, change{last, e.UserID, e.DocumentID, e.Version})
				}
			}
			return recorded
		}
		earlier := record(rapid.IntRange(0, 20).Draw(t, "earlier"), 5)
		after := rapid.Uint64Range(0, last+2).Draw(t, "after")
		from := positionOf(created, after)
		w := n.addStream(users[0], &from)
		if want := after < base || after > last; w.missed != want {
			t.Fatalf("stream after %d with changes %d to %d: got missed %v, want %v",
				after, base, last, w.missed, want)
		}
		if w.missed {
			return
		}

		due := map[uuid.UUID]uint64{} // the latest changes, by document, that have not been received
		expect := func(changes []change) {
			for _, c := range changes {
				if c.sequence > after {
					due[c.document] = c.sequence
				}
			}
		}
		receive := func(c change) {
			if due[c.document] == c.sequence {
				delete(due, c.document)
			}
		}
		expect(earlier)
		reached := after
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			count := rapid.SampledFrom([]int{1, 30, 3 * maxUnsent}).Draw(t, "changes")
			documentCount := rapid.SampledFrom([]int{1, 40, len(documents)}).Draw(t, "documents")
			expect(record(count, documentCount))
			if got := len(w.unsent); got > maxUnsent {
				t.Fatalf("got %d queued changes, want at most %d", got, maxUnsent)
			}
			for range rapid.IntRange(0, 40).Draw(t, "reads") {
				news := n.take(w, 50)
				upTo := news.upTo.sequence
				if news.missed {
					if len(due) <= maxUnsent/2 {
						t.Fatalf("got missed changes with %d documents due, want none missed", len(due))
					}
					clear(due)
				}
				for _, c := range news.changes {
					if c.user != users[0] || c.sequence <= reached {
						t.Fatalf("got %+v after %d, want a later change of %s", c, reached, users[0])
					}
					reached = c.sequence
					receive(c)
				}
				if upTo < reached {
					t.Fatalf("got position %d, want at least %d", upTo, reached)
				}
				reached = upTo
			}
		}
		for {
			news := n.take(w, 50)
			if news.missed {
				clear(due)
			}
			for _, c := range news.changes {
				receive(c)
			}
			if !news.missed && len(news.changes) == 0 {
				break
			}
		}
		if len(due) != 0 {
			t.Fatalf("got %d documents whose changes were not received, want 0", len(due))
		}
		n.remove(w)
		if len(n.waiters) != 0 || len(n.perUser) != 0 {
			t.Fatalf("after remove: got waiters %v and counts %v, want none", n.waiters, n.perUser)
		}
	})
}

func TestKeptChangesAreBounded(t *testing.T) {
	n := newNotifier()
	n.reset(created, 0)
	user := uuid.New()
	for i := range uint64(maxKeptChanges + 10) {
		n.record(i+1, schema.DocumentEvent{UserID: user, DocumentID: user, Version: 1})
	}
	for after, want := range map[uint64]bool{9: true, 10: false, maxKeptChanges + 10: false} {
		from := positionOf(created, after)
		if got := n.addStream(user, &from).missed; got != want {
			t.Errorf("stream after %d: got missed %v, want %v", after, got, want)
		}
	}
	if got := len(n.kept); got != maxKeptChanges {
		t.Errorf("got %d kept changes, want %d", got, maxKeptChanges)
	}
}

func TestWaitersPerUserAreBounded(t *testing.T) {
	n := newNotifier()
	user := uuid.New()
	var last *waiter
	for range maxWaitersPerUser {
		last = n.addWaiter(waitKey{user: user, document: uuid.New()})
	}
	if n.addWaiter(waitKey{user: user}) != nil || n.addStream(user, nil) != nil {
		t.Errorf("got another waiter after %d of the same user, want nil", maxWaitersPerUser)
	}
	if n.addWaiter(waitKey{user: uuid.New()}) == nil {
		t.Error("got nil for another user, want a waiter")
	}
	n.remove(last)
	if n.addWaiter(waitKey{user: user}) == nil {
		t.Error("got nil after another waiter was removed, want a waiter")
	}
}

func TestStreamsPerUserAreBounded(t *testing.T) {
	n := newNotifier()
	user := uuid.New()
	var last *waiter
	for range maxStreamsPerUser {
		last = n.addStream(user, nil)
	}
	if n.addStream(user, nil) != nil {
		t.Errorf("got another stream after %d of the same user, want nil", maxStreamsPerUser)
	}
	if n.addWaiter(waitKey{user: user}) == nil || n.addStream(uuid.New(), nil) == nil {
		t.Error("got nil for a request that waits, or for another user, want a waiter")
	}
	n.remove(last)
	if n.addStream(user, nil) == nil {
		t.Error("got nil after another stream was removed, want a waiter")
	}
}

// The streams of a user share the checks of the account. After a hint, each of them needs the
// result of a check that began later.
func TestAccountChecksAreShared(t *testing.T) {
	n := newNotifier()
	user, other := uuid.New(), uuid.New()
	var streams []*waiter
	for range maxStreamsPerUser {
		streams = append(streams, n.addStream(user, nil))
	}
	var checks atomic.Int32
	removed := false
	check := func() bool { checks.Add(1); return removed }
	all := func(want bool) {
		t.Helper()
		since := time.Now()
		var done sync.WaitGroup
		for _, w := range streams {
			done.Go(func() {
				if got := w.user.account.removedSince(since, check); got != want {
					t.Errorf("got removed %v, want %v", got, want)
				}
			})
		}
		done.Wait()
	}
	all(false)
	removed = true
	if streams[0].user.account.removedSince(time.Now().Add(-time.Hour), check) {
		t.Error("got a new check although an earlier one suffices, want none")
	}
	all(true)
	if got := checks.Load(); got != 2 {
		t.Errorf("got %d checks, want 2", got)
	}
	removed = false
	if n.addStream(other, nil).user.account.removedSince(time.Time{}.Add(1), check) {
		t.Error("got another user's result, want a check of its own")
	}
	for _, w := range streams {
		n.remove(w)
	}
	if len(n.perUser) != 1 {
		t.Errorf("got the state of %d users after the streams of one of two have ended, want 1",
			len(n.perUser))
	}
}

// After a reconnection the waiters are woken one after the other.
func TestWaitersAreWokenGradually(t *testing.T) {
	for name, event := range map[string]func(n *notifier){
		"events": func(n *notifier) { n.reset(created, 7) },
		"hints":  func(n *notifier) { n.missedHints() },
		"system topics": func(n *notifier) {
			n.hint(schema.HintTopics, uuid.Nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNotifier()
			var all []*waiter
			for range 400 {
				all = append(all, n.addStream(uuid.New(), nil))
			}
			began := time.Now()
			event(n)
			for _, w := range all {
				select {
				case <-w.woken:
				case <-time.After(20 * time.Second):
					t.Fatal("a waiter is not woken within 20 s")
				}
			}
			if took, least := time.Since(began), 399*wakePause; took < least {
				t.Errorf("all waiters are woken within %s, want at least %s", took, least)
			}
		})
	}
}
