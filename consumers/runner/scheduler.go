package runner

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxWaiting is how many messages wait in a runner. It is small, so that replicas share a
	// backlog; the rest of the backlog is given back for as long as it will probably have to wait.
	maxWaiting = 64
	// The bounds of that delay. A message that comes back too early is given back again, and one
	// that comes back too late lets workers idle, so the delay is half of the estimate.
	minPostponed, maxPostponed = 100 * time.Millisecond, 30 * time.Second
	// firstPace is the estimate of how long a message takes until one was measured.
	firstPace = 20 * time.Millisecond
)

// waiting is one delivered message.
type waiting struct {
	raw      jetstream.Msg
	sequence uint64
	lane     Lane
	ackWait  time.Duration
	running  bool
	// gaveBack means that the message is delivered again because the runner gave it back until its
	// turn.
	gaveBack bool
}

// postponed is a message that was given back until due.
type postponed struct {
	sequence uint64
	due      time.Time
}

// queue holds the messages of one key.
type queue struct {
	messages []*waiting
	running  int
	// postponed are those that were given back, by sequence. Another replica may have taken them
	// since.
	postponed []postponed
	// pace is the time from one message's end to the next one's while the queue is busy, and ended
	// when the last one ended.
	pace  time.Duration
	ended time.Time
}

// scheduler holds the waiting messages of a runner and decides which one is handled next. It is safe
// for concurrent use.
type scheduler struct {
	mu      sync.Mutex
	wake    sync.Cond
	queues  map[string]*queue
	order   []string       // the keys with waiting messages, next one first
	running map[string]int // by group
	held    map[uint64]*waiting
	waiting int
	paused  int // workers that wait for a dependency
}

func newScheduler() *scheduler {
	s := &scheduler{
		queues: make(map[string]*queue), running: make(map[string]int), held: make(map[uint64]*waiting),
	}
	s.wake.L = &s.mu
	return s
}

// add has a message wait. If too many wait, it removes the newest of the longest queue and returns it,
// to be given back for the delay.
func (s *scheduler) add(m *waiting, now time.Time) (back *waiting, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.held[m.sequence]; ok {
		if !known.running { // it is delivered again while it waits
			known.raw = m.raw
		}
		return nil, 0
	}
	q := s.queues[m.lane.Key]
	if q == nil {
		q = &queue{pace: firstPace}
		s.queues[m.lane.Key] = q
	}
	if i, found := q.place(m.sequence); found {
		m.gaveBack = true
		q.postponed = slices.Delete(q.postponed, i, i+1)
	}
	if len(q.messages) == 0 {
		s.order = append(s.order, m.lane.Key)
	}
	q.messages = append(q.messages, m)
	s.held[m.sequence] = m
	s.waiting++
	if s.waiting <= maxWaiting {
		s.wake.Broadcast()
		return nil, 0
	}
	longest := q
	for _, key := range s.order {
		if other := s.queues[key]; len(other.messages) > len(longest.messages) {
			longest = other
		}
	}
	back = longest.messages[len(longest.messages)-1]
	s.take(longest, len(longest.messages)-1)
	delete(s.held, back.sequence)
	i, _ := longest.place(back.sequence)
	delay = min(max(time.Duration(len(longest.messages)+i)*longest.pace/2, minPostponed), maxPostponed)
	longest.postponed = slices.Insert(longest.postponed, i, postponed{back.sequence, now.Add(delay)})
	s.wake.Broadcast()
	return back, delay
}

// place returns where among the postponed messages a sequence is or belongs.
func (q *queue) place(sequence uint64) (int, bool) {
	return slices.BinarySearchFunc(q.postponed, sequence, func(p postponed, sequence uint64) int {
		return cmp.Compare(p.sequence, sequence)
	})
}

// forget drops the postponed messages that did not come back: another replica has them.
func (s *scheduler) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, q := range s.queues {
		q.postponed = slices.DeleteFunc(q.postponed, func(p postponed) bool {
			return now.After(p.due.Add(maxPostponed))
		})
		if len(q.messages) == 0 && q.running == 0 && len(q.postponed) == 0 {
			delete(s.queues, key)
		}
	}
}

// take removes the i-th waiting message of a queue.
func (s *scheduler) take(q *queue, i int) *waiting {
	m := q.messages[i]
	q.messages = slices.Delete(q.messages, i, i+1)
	s.waiting--
	if len(q.messages) == 0 {
		s.order = slices.DeleteFunc(s.order, func(key string) bool { return key == m.lane.Key })
	}
	return m
}

// next returns the message whose turn it is and counts it as running. It waits until there is one, and
// returns nil after ctx has ended.
func (s *scheduler) next(ctx context.Context) (m *waiting) {
	s.wait(ctx, func() bool {
		m = s.ready()
		return m != nil
	})
	return m
}

func (s *scheduler) ready() *waiting {
	if s.paused > 0 {
		return nil
	}
	for n, key := range s.order {
		q := s.queues[key]
		lane := q.messages[0].lane
		if lane.GroupLimit > 0 && s.running[lane.Group] >= lane.GroupLimit ||
			lane.KeyLimit > 0 && q.running >= lane.KeyLimit {
			continue
		}
		// To the end, so that the others come first.
		s.order = append(slices.Delete(s.order, n, n+1), key)
		m := s.take(q, 0)
		m.running = true
		q.running++
		s.running[lane.Group]++
		return m
	}
	return nil
}

// done ends the handling of a message that next returned.
func (s *scheduler) done(m *waiting, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, m.sequence)
	if s.running[m.lane.Group]--; s.running[m.lane.Group] == 0 {
		delete(s.running, m.lane.Group)
	}
	q := s.queues[m.lane.Key]
	q.running--
	if !q.ended.IsZero() {
		q.pace = (4*q.pace + now.Sub(q.ended)) / 5
	}
	q.ended = now
	if len(q.messages) == 0 && q.running == 0 {
		q.ended = time.Time{} // the time until the next message is not its pace
		if len(q.postponed) == 0 {
			delete(s.queues, m.lane.Key)
		}
	}
	s.wake.Broadcast() // which worker waits for this group or key is not known
}

// pause keeps next from returning a message until the returned function is called.
func (s *scheduler) pause() (resume func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.paused--
		s.wake.Broadcast()
	}
}

// awaitResume returns when no worker waits for a dependency, or ctx has ended.
func (s *scheduler) awaitResume(ctx context.Context) {
	s.wait(ctx, func() bool { return s.paused == 0 })
}

// wait returns when ok, which is called under the lock, or when ctx has ended.
func (s *scheduler) wait(ctx context.Context, ok func() bool) {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wake.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for ctx.Err() == nil && !ok() {
		s.wake.Wait()
	}
}

// all returns the waiting messages and keeps them.
func (s *scheduler) all() []jetstream.Msg {
	s.mu.Lock()
	defer s.mu.Unlock()
	var messages []jetstream.Msg
	for _, key := range s.order {
		for _, m := range s.queues[key].messages {
			messages = append(messages, m.raw)
		}
	}
	return messages
}
