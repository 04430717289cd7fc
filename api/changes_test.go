package api

import (
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"intray/schema"
)

// TestStreamOfChanges holds streams that begin anywhere and are read in any
// portions against what was told: a stream gives the latest change of each of its
// user's documents after its beginning, in order, or says that it lost some; and it
// holds no more than its bound.
func TestStreamOfChanges(t *testing.T) {
	users := []uuid.UUID{uuid.New(), uuid.New()}
	documents := make([]uuid.UUID, 3*maxUnsent)
	for i := range documents {
		documents[i] = uuid.New()
	}
	rapid.Check(t, func(t *rapid.T) {
		c := newNotifier()
		base := rapid.Uint64Range(0, 3).Draw(t, "base")
		c.reset(base)
		last := base
		tell := func(n, of int) (told []change) {
			for range n {
				last++
				e := schema.DocumentEvent{UserID: users[rapid.IntRange(0, 1).Draw(t, "user")], DocumentID: documents[int(last)%of], Version: int64(last)}
				c.record(last, e)
				if e.UserID == users[0] {
					told = append(told, change{last, e.UserID, e.DocumentID, e.Version})
				}
			}
			return told
		}
		before := tell(rapid.IntRange(0, 20).Draw(t, "before"), 5)
		after := rapid.Uint64Range(0, last+2).Draw(t, "after")
		w := c.addStream(users[0], &after)
		due := map[uuid.UUID]uint64{}
		expect := func(told []change) {
			for _, one := range told {
				if one.sequence > after {
					due[one.document] = one.sequence
				}
			}
		}
		expect(before)
		if w.missed != (after < base || after > last) {
			t.Fatalf("after %d of %d to %d: lost %v", after, base, last, w.missed)
		}
		if w.missed {
			return
		}
		reached := after
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			n := rapid.SampledFrom([]int{1, 30, 3 * maxUnsent}).Draw(t, "changes")
			expect(tell(n, rapid.SampledFrom([]int{1, 40, len(documents)}).Draw(t, "documents")))
			if len(w.unsent) > maxUnsent {
				t.Fatalf("%d changes are kept", len(w.unsent))
			}
			for range rapid.IntRange(0, 40).Draw(t, "reads") {
				unsent, upTo, lost := c.take(w, 50)
				if lost {
					if len(due) <= maxUnsent/2 {
						t.Fatalf("lost with %d documents due", len(due))
					}
					clear(due)
				}
				for _, one := range unsent {
					if one.user != users[0] || one.sequence <= reached {
						t.Fatalf("%+v after %d", one, reached)
					}
					if reached = one.sequence; due[one.document] == one.sequence {
						delete(due, one.document)
					}
				}
				if upTo < reached {
					t.Fatalf("up to %d after %d", upTo, reached)
				}
				reached = upTo
			}
		}
		for {
			unsent, _, lost := c.take(w, 50)
			if lost {
				clear(due)
			}
			for _, one := range unsent {
				if due[one.document] == one.sequence {
					delete(due, one.document)
				}
			}
			if !lost && len(unsent) == 0 {
				break
			}
		}
		if len(due) != 0 {
			t.Fatalf("%d documents were never told", len(due))
		}
		c.remove(w)
		if len(c.waiters) != 0 || len(c.perUser) != 0 {
			t.Fatal("the waiter left something behind")
		}
	})
}

// TestKeptChangesAreBounded: what is older than the newest maxKeptChanges cannot be resumed.
func TestKeptChangesAreBounded(t *testing.T) {
	c := newNotifier()
	c.reset(0)
	user := uuid.New()
	for i := range uint64(maxKeptChanges + 10) {
		c.record(i+1, schema.DocumentEvent{UserID: user, DocumentID: user, Version: 1})
	}
	for after, want := range map[uint64]bool{9: true, 10: false, maxKeptChanges + 10: false} {
		w := c.addStream(user, &after)
		if w.missed != want {
			t.Errorf("after %d: lost %v", after, w.missed)
		}
	}
	if len(c.kept) != maxKeptChanges {
		t.Errorf("%d are kept", len(c.kept))
	}
}

// TestWaitersAreBounded: who has too many waiting gets no more.
func TestWaitersAreBounded(t *testing.T) {
	c := newNotifier()
	user := uuid.New()
	var last *waiter
	for range maxWaitersPerUser {
		last = c.addWaiter(waitKey{user: user, document: uuid.New()})
	}
	if c.addWaiter(waitKey{user: user}) != nil || c.addStream(user, nil) != nil {
		t.Error("one more than the most waits")
	}
	if c.addWaiter(waitKey{user: uuid.New()}) == nil {
		t.Error("another user may not wait")
	}
	c.remove(last)
	if c.addWaiter(waitKey{user: user}) == nil {
		t.Error("nobody may wait in place of one who left")
	}
}
