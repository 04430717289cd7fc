package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// started reports whether it is the turn's time to hash, and the error with which it failed.
func started(turn *hashTurn) (bool, error) {
	select {
	case err := <-turn.next:
		return err == nil, err
	default:
		return false, nil
	}
}

// serve releases running and then each turn that starts, and returns the names of the turns in the
// order in which they started.
func serve(q *hashQueue, running *hashTurn, waiting map[string]*hashTurn) []string {
	var order []string
	for running != nil {
		q.release(running)
		running = nil
		for name, turn := range waiting {
			if ok, _ := started(turn); ok {
				order = append(order, name)
				running = turn
				delete(waiting, name)
				break
			}
		}
	}
	return order
}

func TestHashQueueIsFair(t *testing.T) {
	for _, c := range []struct {
		name      string
		attacker  func(i int) (address, account string)
		wantAfter int // how many of the attacker's passwords precede the other user's
	}{
		{"one address guesses passwords of many accounts",
			func(i int) (string, string) { return "192.0.2.1", fmt.Sprint("user", i) }, 0},
		{"many addresses guess the password of one account",
			func(i int) (string, string) { return fmt.Sprint("192.0.2.", i), "alice" }, 0},
		{"one address guesses the password of one account",
			func(int) (string, string) { return "192.0.2.1", "alice" }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := newHashQueue(1)
			running := q.add(c.attacker(0))
			if ok, err := started(running); !ok || err != nil {
				t.Fatalf("first password: got started %t and error %v, want true", ok, err)
			}
			waiting := make(map[string]*hashTurn)
			for i := 1; i < 60; i++ {
				waiting[fmt.Sprint(i)] = q.add(c.attacker(i))
			}
			waiting["bob"] = q.add("198.51.100.1", "bob")
			order := serve(q, running, waiting)
			if got := slices.Index(order, "bob"); got != c.wantAfter || len(order) != 60 {
				t.Errorf("got the other user at position %d of %d, want %d of 60",
					got, len(order), c.wantAfter)
			}
		})
	}
}

func TestHashQueueIsBounded(t *testing.T) {
	q := newHashQueue(1)
	running := q.add("192.0.2.1", "alice")
	var attacks []*hashTurn
	for range maxWaitingHashes {
		attacks = append(attacks, q.add("192.0.2.1", "alice"))
	}
	newest := attacks[len(attacks)-1]
	bob := q.add("198.51.100.1", "bob")
	if _, err := started(newest); !errors.Is(err, errHashQueueBusy) {
		t.Errorf("newest password of the attacker: got error %v, want %v", err, errHashQueueBusy)
	}
	q.abandon(newest)
	q.release(running)
	if ok, err := started(bob); !ok {
		t.Errorf("other user: got started %t and error %v, want true", ok, err)
	}
	if got := q.unfinished[hashKey{"account", "alice"}]; got != maxWaitingHashes-1 {
		t.Errorf("got %d unfinished passwords of the attacker, want %d", got, maxWaitingHashes-1)
	}
}

// TestHashQueueModel checks with random calls that no more passwords are hashed concurrently than
// allowed, that none waits while there is a free place, and that nothing is left at the end.
func TestHashQueueModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		concurrency := rapid.IntRange(1, 3).Draw(t, "concurrency")
		q := newHashQueue(concurrency)
		var waiting, running []*hashTurn
		poll := func() {
			waiting = slices.DeleteFunc(waiting, func(turn *hashTurn) bool {
				ok, err := started(turn)
				if err != nil {
					t.Fatalf("got error %v, want none below the maximum", err)
				}
				if ok {
					running = append(running, turn)
				}
				return ok
			})
			want := min(concurrency, len(running)+len(waiting))
			if len(running) != want {
				t.Fatalf("got %d running and %d waiting, want %d running",
					len(running), len(waiting), want)
			}
		}
		// remove removes a turn and returns it, or nil if there is none.
		remove := func(t *rapid.T, turns *[]*hashTurn) *hashTurn {
			if len(*turns) == 0 {
				return nil
			}
			i := rapid.IntRange(0, len(*turns)-1).Draw(t, "index")
			turn := (*turns)[i]
			*turns = slices.Delete(*turns, i, i+1)
			return turn
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				key := rapid.SampledFrom([]string{"a", "b", "c"})
				waiting = append(waiting, q.add(key.Draw(t, "address"), key.Draw(t, "account")))
				poll()
			},
			"release": func(t *rapid.T) {
				if turn := remove(t, &running); turn != nil {
					q.release(turn)
					poll()
				}
			},
			"abandon": func(t *rapid.T) {
				if turn := remove(t, &waiting); turn != nil {
					q.abandon(turn)
					poll()
				}
			},
			"abandon unpolled": func(*rapid.T) { q.abandon(q.add("a", "a")); poll() },
		})
		for len(running) > 0 {
			q.release(remove(t, &running))
			poll()
		}
		if q.free != concurrency || len(q.unfinished) != 0 || len(q.waiting) != 0 {
			t.Fatalf("at the end: got %d free, %d unfinished and %d waiting, want %d, 0 and 0",
				q.free, len(q.unfinished), len(q.waiting), concurrency)
		}
	})
}

func TestHashQueueCanceled(t *testing.T) {
	q := newHashQueue(1)
	release, err := q.acquire(t.Context(), "192.0.2.1", "alice")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.acquire(ctx, "192.0.2.1", "alice"); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
	release()
	if q.free != 1 || len(q.unfinished) != 0 {
		t.Errorf("got %d free places and %d unfinished, want 1 and 0", q.free, len(q.unfinished))
	}
}
