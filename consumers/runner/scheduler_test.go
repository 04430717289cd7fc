package runner

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func lane(key, group string, limit int) Lane {
	return Lane{Key: key, Group: group, GroupLimit: limit}
}

// take returns the message whose turn is now and its sequence, or 0 and nil.
func take(s *scheduler) (uint64, *waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.ready(); m != nil {
		return m.sequence, m
	}
	return 0, nil
}

// fill has messages of one lane wait.
func fill(s *scheduler, now time.Time, lane Lane, sequences ...uint64) {
	for _, sequence := range sequences {
		s.add(&waiting{sequence: sequence, lane: lane}, now)
	}
}

// expectOrder takes as many messages as are wanted; 0 stands for none.
func expectOrder(t *testing.T, s *scheduler, want ...uint64) (taken []*waiting) {
	t.Helper()
	var got []uint64
	for range want {
		sequence, m := take(s)
		got, taken = append(got, sequence), append(taken, m)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got messages %v, want %v", got, want)
	}
	return taken
}

func TestKeysTakeTurns(t *testing.T) {
	s, now := newScheduler(), time.Now()
	fill(s, now, lane("alice", "g", 0), 1, 2, 3, 4)
	fill(s, now, lane("bob", "g", 0), 10, 11)
	fill(s, now, lane("carol", "g", 0), 20)
	expectOrder(t, s, 1, 10, 20, 2, 11, 3, 4)
}

func TestAFullGroupHoldsUpNoOther(t *testing.T) {
	s, now := newScheduler(), time.Now()
	fill(s, now, lane("alice", "slow", 2), 1, 2, 3)
	fill(s, now, lane("bob", "fast", 0), 10)
	taken := expectOrder(t, s, 1, 10, 2, 0)
	s.done(taken[0], now)
	expectOrder(t, s, 3)
}

func TestNothingIsHandedOutInAPause(t *testing.T) {
	s, now := newScheduler(), time.Now()
	resume := s.pause()
	fill(s, now, lane("bob", "fast", 0), 1)
	expectOrder(t, s, 0)
	resume()
	expectOrder(t, s, 1)
}

// Whoever has the most messages leaves one place of the group to others.
func TestAKeyLeavesAPlaceToOthers(t *testing.T) {
	s, now := newScheduler(), time.Now()
	fill(s, now, Lane{Key: "alice", Group: "g", GroupLimit: 3, KeyLimit: 2}, 1, 2, 3, 4)
	taken := expectOrder(t, s, 1, 2, 0)
	fill(s, now, Lane{Key: "bob", Group: "g", GroupLimit: 3, KeyLimit: 2}, 10)
	expectOrder(t, s, 10)
	s.done(taken[0], now)
	expectOrder(t, s, 3)
}

func TestAMessageThatComesTwiceIsHandedOutOnce(t *testing.T) {
	s, now := newScheduler(), time.Now()
	for range 3 {
		if back, _ := s.add(&waiting{sequence: 1, lane: lane("alice", "g", 0)}, now); back != nil {
			t.Errorf("got message %d given back, want none", back.sequence)
		}
	}
	_, m := take(s)
	fill(s, now, lane("alice", "g", 0), 1) // while it is handled
	expectOrder(t, s, 0)
	s.done(m, now)
	if len(s.held) != 0 || len(s.queues) != 0 {
		t.Errorf("got %v and %v left, want nothing", s.held, s.queues)
	}
}

func TestNextWaits(t *testing.T) {
	for name, test := range map[string]struct {
		arrive func(s *scheduler, cancel func())
		want   uint64
	}{
		"for a message": {func(s *scheduler, _ func()) { fill(s, time.Now(), lane("alice", "g", 0), 7) }, 7},
		"for the end":   {func(_ *scheduler, cancel func()) { cancel() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s := newScheduler()
				ended := false
				var got uint64
				go func() {
					if m := s.next(ctx); m != nil {
						got = m.sequence
					}
					ended = true
				}()
				synctest.Wait()
				if ended {
					t.Fatalf("next returned %d at once, want it to wait", got)
				}
				test.arrive(s, cancel)
				synctest.Wait()
				if !ended || got != test.want {
					t.Errorf("next returned: %v, with %d; want %d", ended, got, test.want)
				}
			})
		})
	}
}

func TestAwaitResumeWaitsForEveryPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler()
		first, second := s.pause(), s.pause()
		ended := false
		go func() { s.awaitResume(t.Context()); ended = true }()
		first()
		synctest.Wait()
		if ended {
			t.Fatal("awaitResume returned in a pause, want it to wait")
		}
		second()
		synctest.Wait()
		if !ended {
			t.Error("awaitResume waits after the last pause, want it to return")
		}
	})
}

// Whatever comes and goes: no message is lost or returned twice, no group exceeds its limit, few wait,
// and a message that is given back is of the longest queue.
func TestSchedulerKeepsItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sched, now, next := newScheduler(), time.Now(), uint64(0)
		out := map[uint64]*waiting{}
		postponed := map[uint64]*waiting{}
		limit := map[string]int{"a": 1, "b": 3, "c": 0}
		t.Repeat(map[string]func(*rapid.T){
			"arrive": func(t *rapid.T) {
				key := rapid.SampledFrom([]string{"u", "v", "w"}).Draw(t, "user")
				group := map[string]string{"u": "a", "v": "b", "w": "c"}[key]
				for range rapid.SampledFrom([]int{1, 2, 100}).Draw(t, "how many") {
					next++
					if back, wait := sched.add(&waiting{sequence: next, lane: lane(key, group, limit[group])}, now); back != nil {
						if wait < minPostponed || wait > maxPostponed || postponed[back.sequence] != nil || out[back.sequence] != nil {
							t.Fatalf("%d is given back for %s", back.sequence, wait)
						}
						postponed[back.sequence] = back
						for key, q := range sched.queues {
							if len(q.messages) > len(sched.queues[back.lane.Key].messages)+1 {
								t.Fatalf("%s has the longest queue, and one of %s is given back", key, back.lane.Key)
							}
						}
					}
				}
			},
			"come back": func(t *rapid.T) {
				for sequence, m := range postponed {
					delete(postponed, sequence)
					if back, _ := sched.add(&waiting{sequence: sequence, lane: m.lane}, now); back != nil {
						postponed[back.sequence] = back
					}
					break
				}
			},
			"take": func(t *rapid.T) {
				if sequence, m := take(sched); m != nil {
					if out[sequence] != nil || postponed[sequence] != nil {
						t.Fatalf("got %d twice", sequence)
					}
					out[sequence] = m
				}
			},
			"end": func(t *rapid.T) {
				for sequence, m := range out {
					delete(out, sequence)
					now = now.Add(time.Millisecond)
					sched.done(m, now)
					break
				}
			},
			"": func(t *rapid.T) {
				inHand, queued := map[string]int{}, 0
				for _, m := range out {
					inHand[m.lane.Group]++
				}
				for group, n := range inHand {
					if n != sched.running[group] || (limit[group] > 0 && n > limit[group]) {
						t.Fatalf("group %s has %d in hand, counted %d", group, n, sched.running[group])
					}
				}
				for _, q := range sched.queues {
					queued += len(q.messages)
				}
				if queued != sched.waiting || queued > maxWaiting || len(sched.held) != queued+len(out) {
					t.Fatalf("%d wait, counted %d, held %d with %d in hand", queued, sched.waiting, len(sched.held), len(out))
				}
			},
		})
		sched.forget(now.Add(time.Hour))
		for key, q := range sched.queues {
			if len(q.postponed) > 0 {
				t.Errorf("%s remembers %d that never came back", key, len(q.postponed))
			}
		}
	})
}
