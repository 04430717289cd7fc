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
	if batch := s.ready(); len(batch) > 0 {
		return batch[0].sequence, batch[0]
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
	s.done(taken[:1], now)
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
	s.done(taken[:1], now)
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
	s.done([]*waiting{m}, now)
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
					if batch := s.next(ctx); len(batch) > 0 {
						got = batch[0].sequence
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

// takeBatch takes the next batch and returns the sequences of its messages.
func takeBatch(s *scheduler) (sequences []uint64, batch []*waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch = s.ready()
	for _, m := range batch {
		sequences = append(sequences, m.sequence)
	}
	return sequences, batch
}

// A batch contains messages of one group only, one of each key in turn, and counts as one message
// of its group.
func TestMessagesAreTakenInBatches(t *testing.T) {
	s, now := newScheduler(), time.Now()
	quick := func(key string) Lane { return Lane{Key: key, Group: "quick", GroupLimit: 2, Batch: 4} }
	fill(s, now, quick("alice"), 1, 2, 3, 4, 5, 6, 7, 8)
	fill(s, now, lane("alice, slow", "slow", 1), 20)
	fill(s, now, quick("bob"), 10)
	fill(s, now, Lane{Key: "carol", Group: "quick", GroupLimit: 2, KeyLimit: 1, Batch: 4}, 30, 31)
	expect := func(want ...uint64) []*waiting {
		t.Helper()
		got, batch := takeBatch(s)
		if !slices.Equal(got, want) {
			t.Errorf("got messages %v, want %v", got, want)
		}
		return batch
	}
	first := expect(1, 10, 30, 2)
	expect(20)
	expect(3, 4, 5, 6) // carol is at her limit
	expect()           // two batches of the group are running
	s.done(first, now)
	expect(31, 7, 8)
}

// Messages that are handled in batches do not use up the places of those that are not, nor the
// other way round.
func TestWaitingMessagesAreLimitedSeparately(t *testing.T) {
	s, now := newScheduler(), time.Now()
	add := func(lane Lane, first, n int) (excess int) {
		for i := range n {
			m, _ := s.add(&waiting{sequence: uint64(first + i), lane: lane}, now)
			if m != nil && m.inBatch() != (lane.Batch > 1) {
				t.Fatalf("got message %d of lane %+v returned for one of %+v", m.sequence, m.lane, lane)
			}
			if m != nil {
				excess++
			}
		}
		return excess
	}
	quick := Lane{Key: "alice", Group: "quick", Batch: 8}
	got := []int{
		add(quick, 1, maxWaitingForBatch+2),
		add(lane("bob", "slow", 1), 1000, maxWaiting+3),
		add(quick, 2000, 1),
	}
	if want := []int{2, 3, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v messages returned, want %v", got, want)
	}
}

// In any sequence of operations, no message is lost or taken twice, no group exceeds its limit, at
// most maxWaiting and maxWaitingForBatch messages wait, excess messages come from the longest
// queue, and a batch contains only messages of its group, up to its limit.
func TestSchedulerInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sched, now, next := newScheduler(), time.Now(), uint64(0)
		running := map[uint64]*waiting{}
		var batches [][]*waiting
		postponed := map[uint64]*waiting{}
		limit := map[string]int{"a": 1, "b": 3, "c": 0, "quick": 2}
		const batchLimit = 5
		t.Repeat(map[string]func(*rapid.T){
			"arrive": func(t *rapid.T) {
				key := rapid.SampledFrom([]string{"u", "v", "w", "x", "y"}).Draw(t, "user")
				group := map[string]string{"u": "a", "v": "b", "w": "c", "x": "quick", "y": "quick"}[key]
				for range rapid.SampledFrom([]int{1, 2, 100, 600}).Draw(t, "how many") {
					next++
					m := &waiting{sequence: next, lane: lane(key, group, limit[group])}
					if group == "quick" {
						m.lane.Batch = batchLimit
					}
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
						if len(q.messages) > 0 && q.newest().inBatch() != excess.inBatch() {
							continue
						}
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
				sequences, batch := takeBatch(sched)
				if len(batch) == 0 {
					return
				}
				batches = append(batches, batch)
				if len(batch) > max(1, batch[0].lane.Batch) {
					t.Fatalf("got a batch of %d messages, want at most %d", len(batch), batchLimit)
				}
				for i, sequence := range sequences {
					if running[sequence] != nil || postponed[sequence] != nil {
						t.Fatalf("got message %d twice", sequence)
					}
					if batch[i].lane.Group != batch[0].lane.Group {
						t.Fatalf("got lanes %+v and %+v in a batch, want one group",
							batch[i].lane, batch[0].lane)
					}
					running[sequence] = batch[i]
				}
			},
			"finish": func(*rapid.T) {
				if len(batches) == 0 {
					return
				}
				for _, m := range batches[0] {
					delete(running, m.sequence)
				}
				now = now.Add(time.Millisecond)
				sched.done(batches[0], now)
				batches = batches[1:]
			},
			"": func(t *rapid.T) {
				byGroup, queued := map[string]int{}, map[bool]int{}
				for _, batch := range batches {
					byGroup[batch[0].lane.Group]++
				}
				for group, n := range byGroup {
					if n != sched.running[group] || (limit[group] > 0 && n > limit[group]) {
						t.Fatalf("group %s: got %d batches running, counted as %d, limit %d",
							group, n, sched.running[group], limit[group])
					}
				}
				for _, q := range sched.queues {
					for _, m := range q.messages {
						queued[m.inBatch()]++
					}
				}
				if queued[false] != sched.waiting[false] || queued[true] != sched.waiting[true] ||
					queued[false] > maxWaiting || queued[true] > maxWaitingForBatch ||
					len(sched.bySequence) != queued[false]+queued[true]+len(running) {
					t.Fatalf("got %v messages waiting, counted as %v, and %d running; %d in bySequence",
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

// A message that is redelivered while its batch is still being acknowledged is handled again.
func TestRedeliveryOfARunningMessageIsReturned(t *testing.T) {
	s, now := newScheduler(), time.Now()
	type message struct{ jetstream.Msg }
	redelivery := &message{}
	fill(s, now, lane("alice", "g", 0), 1, 2)
	taken := expectOrder(t, s, 1, 2)
	s.add(&waiting{raw: &message{}, sequence: 1, lane: lane("alice", "g", 0)}, now)
	s.add(&waiting{raw: redelivery, sequence: 1, lane: lane("alice", "g", 0)}, now)
	expectOrder(t, s, 0) // it is not handled twice at the same time
	got := s.done(taken, now)
	if len(got) != 1 || got[0] != redelivery {
		t.Errorf("got redeliveries %v, want the latest of message 1", got)
	}
}
