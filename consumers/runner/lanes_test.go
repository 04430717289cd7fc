package runner

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func lane(key, group string, limit int) Lane { return Lane{Key: key, Group: group, Limit: limit} }

// took takes what is ready now, or 0.
func took(l *lanes) (uint64, *waiting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.ready(); m != nil {
		return m.sequence, m
	}
	return 0, nil
}

func TestLanesTakeTurns(t *testing.T) {
	l, now := newLanes(), time.Now()
	for i := range uint64(4) {
		l.add(&waiting{sequence: 1 + i, lane: lane("alice", "g", 0)}, now)
	}
	l.add(&waiting{sequence: 10, lane: lane("bob", "g", 0)}, now)
	l.add(&waiting{sequence: 11, lane: lane("bob", "g", 0)}, now)
	l.add(&waiting{sequence: 20, lane: lane("carol", "g", 0)}, now)
	var order []uint64
	for range 7 {
		s, _ := took(l)
		order = append(order, s)
	}
	if got := fmt.Sprint(order); got != "[1 10 20 2 11 3 4]" {
		t.Errorf("order %s", got)
	}
}

func TestAFullGroupHoldsUpNoOther(t *testing.T) {
	l, now := newLanes(), time.Now()
	for i := range uint64(3) {
		l.add(&waiting{sequence: 1 + i, lane: lane("alice", "slow", 2)}, now)
	}
	l.add(&waiting{sequence: 10, lane: lane("bob", "fast", 0)}, now)
	first, held := took(l)
	second, _ := took(l)
	third, _ := took(l)
	if first != 1 || second != 10 || third != 2 {
		t.Errorf("order %d %d %d", first, second, third)
	}
	if s, _ := took(l); s != 0 {
		t.Errorf("%d is handed out beyond the limit", s)
	}
	l.done(held, now)
	if s, _ := took(l); s != 3 {
		t.Errorf("after one has ended comes %d", s)
	}
	resume := l.pause()
	l.add(&waiting{sequence: 11, lane: lane("bob", "fast", 0)}, now)
	if s, _ := took(l); s != 0 || !l.isPaused() {
		t.Errorf("%d is handed out in a pause", s)
	}
	resume()
	if s, _ := took(l); s != 11 {
		t.Errorf("after the pause comes %d", s)
	}
}

// Whoever has the most takes all but one place of a group.
func TestAKeyLeavesAPlaceToOthers(t *testing.T) {
	l, now := newLanes(), time.Now()
	for i := range uint64(4) {
		l.add(&waiting{sequence: 1 + i, lane: Lane{Key: "alice", Group: "g", Limit: 3, Own: 2}}, now)
	}
	first, held := took(l)
	second, _ := took(l)
	if third, _ := took(l); first != 1 || second != 2 || third != 0 {
		t.Errorf("order %d %d, and %d beyond the bound of a key", first, second, third)
	}
	l.add(&waiting{sequence: 10, lane: Lane{Key: "bob", Group: "g", Limit: 3, Own: 2}}, now)
	if s, _ := took(l); s != 10 {
		t.Errorf("%d is handed out, and bob waits", s)
	}
	l.done(held, now)
	if s, _ := took(l); s != 3 {
		t.Errorf("after one has ended comes %d", s)
	}
}

func TestAMessageThatComesTwiceIsHandedOutOnce(t *testing.T) {
	l, now := newLanes(), time.Now()
	for range 3 {
		if back, _ := l.add(&waiting{sequence: 1, lane: lane("alice", "g", 0)}, now); back != nil {
			t.Error("it is given back")
		}
	}
	_, m := took(l)
	l.add(&waiting{sequence: 1, lane: lane("alice", "g", 0)}, now)
	if s, _ := took(l); s != 0 {
		t.Error("it is handed out while in hand")
	}
	l.done(m, now)
	if len(l.held) != 0 || len(l.queues) != 0 {
		t.Errorf("left: %v, %v", l.held, l.queues)
	}
}

func TestNextEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan *waiting)
	go func() { ended <- newLanes().next(ctx) }()
	cancel()
	select {
	case m := <-ended:
		if m != nil {
			t.Errorf("it returned %v", m)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it still waits")
	}
}

// Whatever comes and goes: no message is lost or handed out twice, a group has its
// limit at most in hand, few wait, what is given back is of the longest queue, and
// who has something waiting is served before the others have their second turn.
func TestLanesKeepTheirRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, now, next := newLanes(), time.Now(), uint64(0)
		out := map[uint64]*waiting{}
		postponed := map[uint64]*waiting{}
		limit := map[string]int{"a": 1, "b": 3, "c": 0}
		t.Repeat(map[string]func(*rapid.T){
			"arrive": func(t *rapid.T) {
				key := rapid.SampledFrom([]string{"u", "v", "w"}).Draw(t, "user")
				group := map[string]string{"u": "a", "v": "b", "w": "c"}[key]
				for range rapid.SampledFrom([]int{1, 2, 100}).Draw(t, "how many") {
					next++
					if back, wait := l.add(&waiting{sequence: next, lane: lane(key, group, limit[group])}, now); back != nil {
						if wait < minPostponed || wait > maxPostponed || postponed[back.sequence] != nil || out[back.sequence] != nil {
							t.Fatalf("%d is given back for %s", back.sequence, wait)
						}
						postponed[back.sequence] = back
						for key, q := range l.queues {
							if len(q.messages) > len(l.queues[back.lane.Key].messages)+1 {
								t.Fatalf("%s has the longest queue, and one of %s is given back", key, back.lane.Key)
							}
						}
					}
				}
			},
			"come back": func(t *rapid.T) {
				for s, m := range postponed {
					delete(postponed, s)
					if back, _ := l.add(&waiting{sequence: s, lane: m.lane}, now); back != nil {
						postponed[back.sequence] = back
					}
					break
				}
			},
			"take": func(t *rapid.T) {
				if s, m := took(l); s != 0 {
					if out[s] != nil || postponed[s] != nil {
						t.Fatalf("%d is handed out twice", s)
					}
					out[s] = m
				}
			},
			"end": func(t *rapid.T) {
				for s, m := range out {
					delete(out, s)
					now = now.Add(time.Millisecond)
					l.done(m, now)
					break
				}
			},
			"": func(t *rapid.T) {
				inHand, queued := map[string]int{}, 0
				for _, m := range out {
					inHand[m.lane.Group]++
				}
				for group, n := range inHand {
					if n != l.running[group] || (limit[group] > 0 && n > limit[group]) {
						t.Fatalf("group %s has %d in hand, counted %d", group, n, l.running[group])
					}
				}
				for _, q := range l.queues {
					queued += len(q.messages)
				}
				if queued != l.waiting || queued > maxWaiting || len(l.held) != queued+len(out) {
					t.Fatalf("%d wait, counted %d, held %d with %d in hand", queued, l.waiting, len(l.held), len(out))
				}
			},
		})
		l.forget(now.Add(time.Hour))
		for key, q := range l.queues {
			if len(q.postponed) > 0 {
				t.Errorf("%s remembers %d that never came back", key, len(q.postponed))
			}
		}
	})
}
