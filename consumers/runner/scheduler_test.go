package runner

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"intray/infra/nats"
)

func lane(key, group string, limit int) Lane {
	return Lane{Key: key, Group: group, GroupLimit: limit}
}

// take returns the next message and its sequence, or 0 and nil if none may run now.
func take(s *scheduler) (uint64, *waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.ready(); m != nil {
		return m.sequence, m
	}
	return 0, nil
}

// fill adds messages of one lane.
func fill(s *scheduler, now time.Time, lane Lane, sequences ...uint64) {
	for _, sequence := range sequences {
		s.add(&waiting{sequence: sequence, lane: lane}, now)
	}
}

// expectOrder takes len(want) messages and compares their sequences; 0 means that none may run.
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

func TestKeysAreServedRoundRobin(t *testing.T) {
	s, now := newScheduler(), time.Now()
	fill(s, now, lane("alice", "g", 0), 1, 2, 3, 4)
	fill(s, now, lane("bob", "g", 0), 10, 11)
	fill(s, now, lane("carol", "g", 0), 20)
	expectOrder(t, s, 1, 10, 20, 2, 11, 3, 4)
}

func TestGroupAtItsLimitDoesNotBlockOtherGroups(t *testing.T) {
	s, now := newScheduler(), time.Now()
	fill(s, now, lane("alice", "slow", 2), 1, 2, 3)
	fill(s, now, lane("bob", "fast", 0), 10)
	taken := expectOrder(t, s, 1, 10, 2, 0)
	s.done(taken[0], now)
	expectOrder(t, s, 3)
}

func TestNoMessageIsTakenDuringAPause(t *testing.T) {
	s, now := newScheduler(), time.Now()
	resume := s.pause()
	fill(s, now, lane("bob", "fast", 0), 1)
	expectOrder(t, s, 0)
	resume()
	expectOrder(t, s, 1)
}

// A key with many messages leaves one slot of its group to other keys.
func TestKeyLimitLeavesASlotInTheGroup(t *testing.T) {
	s, now := newScheduler(), time.Now()
	fill(s, now, Lane{Key: "alice", Group: "g", GroupLimit: 3, KeyLimit: 2}, 1, 2, 3, 4)
	taken := expectOrder(t, s, 1, 2, 0)
	fill(s, now, Lane{Key: "bob", Group: "g", GroupLimit: 3, KeyLimit: 2}, 10)
	expectOrder(t, s, 10)
	s.done(taken[0], now)
	expectOrder(t, s, 3)
}

func TestMessageDeliveredTwiceIsTakenOnce(t *testing.T) {
	s, now := newScheduler(), time.Now()
	for range 3 {
		excess, _ := s.add(&waiting{sequence: 1, lane: lane("alice", "g", 0)}, now)
		if excess != nil {
			t.Errorf("got message %d returned as excess, want none", excess.sequence)
		}
	}
	_, m := take(s)
	fill(s, now, lane("alice", "g", 0), 1) // while message 1 is being handled
	expectOrder(t, s, 0)
	s.done(m, now)
	if len(s.bySequence) != 0 || len(s.queues) != 0 {
		t.Errorf("got messages %v and queues %v left, want none", s.bySequence, s.queues)
	}
}

func TestNextBlocks(t *testing.T) {
	for name, test := range map[string]struct {
		arrive func(s *scheduler, cancel func())
		want   uint64
	}{
		"until a message arrives": {func(s *scheduler, _ func()) {
			fill(s, time.Now(), lane("alice", "g", 0), 7)
		}, 7},
		"until its context is canceled": {func(_ *scheduler, cancel func()) { cancel() }, 0},
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
					t.Fatalf("got message %d immediately, want next to block", got)
				}
				test.arrive(s, cancel)
				synctest.Wait()
				if !ended || got != test.want {
					t.Errorf("got returned %v with message %d, want true with %d", ended, got, test.want)
				}
			})
		})
	}
}

func TestAwaitResumeBlocksUntilEveryPauseHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler()
		first, second := s.pause(), s.pause()
		ended := false
		go func() { s.awaitResume(t.Context()); ended = true }()
		first()
		synctest.Wait()
		if ended {
			t.Fatal("got awaitResume to return during a pause, want it to block")
		}
		second()
		synctest.Wait()
		if !ended {
			t.Error("got awaitResume blocked after the last pause, want it to return")
		}
	})
}

// extendable is a message that counts the extensions of its ack deadline.
type extendable struct {
	jetstream.Msg
	extensions int
}

func (m *extendable) InProgress() error {
	m.extensions++
	return nil
}

func TestAckDeadlinesOfWaitingMessagesAreExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := newScheduler(), &extendable{}
		s.add(&waiting{raw: m, sequence: 1, lane: lane("alice", "g", 0)}, time.Now())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go extendWaiting(ctx, s)
		<-time.After(nats.AckWait - time.Nanosecond)
		synctest.Wait()
		if m.extensions != 2 {
			t.Errorf("got %d extensions within the AckWait, want 2", m.extensions)
		}
		take(s)
		<-time.After(nats.AckWait)
		synctest.Wait()
		if m.extensions != 2 {
			t.Errorf("got %d extensions after the message was taken, want 2", m.extensions)
		}
	})
}

// In any sequence of operations, no message is lost or taken twice, no group exceeds its limit, at
// most maxWaiting messages wait, and excess messages come from the longest queue.
func TestSchedulerInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sched, now, next := newScheduler(), time.Now(), uint64(0)
		running := map[uint64]*waiting{}
		postponed := map[uint64]*waiting{}
		limit := map[string]int{"a": 1, "b": 3, "c": 0}
		t.Repeat(map[string]func(*rapid.T){
			"arrive": func(t *rapid.T) {
				key := rapid.SampledFrom([]string{"u", "v", "w"}).Draw(t, "user")
				group := map[string]string{"u": "a", "v": "b", "w": "c"}[key]
				for range rapid.SampledFrom([]int{1, 2, 100}).Draw(t, "how many") {
					next++
					m := &waiting{sequence: next, lane: lane(key, group, limit[group])}
					excess, delay := sched.add(m, now)
					if excess == nil {
						continue
					}
					if delay < minPostponed || delay > maxPostponed ||
						postponed[excess.sequence] != nil || running[excess.sequence] != nil {
						t.Fatalf("got message %d returned for %s", excess.sequence, delay)
					}
					postponed[excess.sequence] = excess
					for key, q := range sched.queues {
						if len(q.messages) > len(sched.queues[excess.lane.Key].messages)+1 {
							t.Fatalf("got a message of queue %s returned, want one of the longest, %s",
								excess.lane.Key, key)
						}
					}
				}
			},
			"redeliver": func(*rapid.T) {
				for sequence, m := range postponed {
					delete(postponed, sequence)
					excess, _ := sched.add(&waiting{sequence: sequence, lane: m.lane}, now)
					if excess != nil {
						postponed[excess.sequence] = excess
					}
					break
				}
			},
			"take": func(t *rapid.T) {
				if sequence, m := take(sched); m != nil {
					if running[sequence] != nil || postponed[sequence] != nil {
						t.Fatalf("got message %d twice", sequence)
					}
					running[sequence] = m
				}
			},
			"finish": func(*rapid.T) {
				for sequence, m := range running {
					delete(running, sequence)
					now = now.Add(time.Millisecond)
					sched.done(m, now)
					break
				}
			},
			"": func(t *rapid.T) {
				byGroup, queued := map[string]int{}, 0
				for _, m := range running {
					byGroup[m.lane.Group]++
				}
				for group, n := range byGroup {
					if n != sched.running[group] || (limit[group] > 0 && n > limit[group]) {
						t.Fatalf("group %s: got %d messages running, counted as %d, limit %d",
							group, n, sched.running[group], limit[group])
					}
				}
				for _, q := range sched.queues {
					queued += len(q.messages)
				}
				if queued != sched.waiting || queued > maxWaiting ||
					len(sched.bySequence) != queued+len(running) {
					t.Fatalf("got %d messages waiting, counted as %d, and %d running; %d in bySequence",
						queued, sched.waiting, len(running), len(sched.bySequence))
				}
			},
		})
		sched.dropStale(now.Add(time.Hour))
		for key, q := range sched.queues {
			if len(q.postponed) > 0 {
				t.Errorf("queue %s: got %d stale postponed messages, want 0", key, len(q.postponed))
			}
		}
	})
}
