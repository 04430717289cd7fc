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
	// maxWaiting is how many messages a runner keeps waiting. It is small so that replicas share a
	// backlog. The runner returns all other messages to the stream with a delay, which is an estimate
	// of how long they would have to wait anyway.
	maxWaiting = 64
	// minPostponed and maxPostponed limit that delay. It is half of the estimate: a message that is
	// redelivered too early is returned again, but one that is redelivered too late leaves workers
	// idle.
	minPostponed, maxPostponed = 100 * time.Millisecond, 30 * time.Second
	// initialPace is the assumed time per message until the first one has been measured.
	initialPace = 20 * time.Millisecond
)

// waiting is a delivered message that waits for a worker or is being handled.
type waiting struct {
	raw      jetstream.Msg
	sequence uint64
	lane     Lane
	ackWait  time.Duration
	running  bool
	// returned reports whether this is a redelivery that the runner itself caused by returning the
	// message to the stream.
	returned bool
}

// postponed is a message that was returned to the stream until due.
type postponed struct {
	sequence uint64
	due      time.Time
}

// queue holds the waiting messages of one key.
type queue struct {
	messages []*waiting
	running  int
	// postponed holds the messages that were returned to the stream, ordered by sequence. Another
	// replica may have received them since.
	postponed []postponed
	// pace is a moving average of the time between two messages finishing while the queue is busy.
	// ended is when the last one finished.
	pace  time.Duration
	ended time.Time
}

// scheduler holds the waiting messages of a runner and chooses the next one to handle. It is safe
// for concurrent use.
type scheduler struct {
	mu         sync.Mutex
	wake       sync.Cond
	queues     map[string]*queue
	order      []string       // the keys that have waiting messages, in the order they are served
	running    map[string]int // number of running messages by group
	bySequence map[uint64]*waiting
	waiting    int
	paused     int // number of workers that wait for a dependency
}

func newScheduler() *scheduler {
	s := &scheduler{
		queues:     make(map[string]*queue),
		running:    make(map[string]int),
		bySequence: make(map[uint64]*waiting),
	}
	s.wake.L = &s.mu
	return s
}

// add queues m. If too many messages are waiting then, it removes the newest message of the longest
// queue and returns it as excess. The caller returns that message to the stream for delay.
func (s *scheduler) add(m *waiting, now time.Time) (excess *waiting, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if queued, ok := s.bySequence[m.sequence]; ok {
		if !queued.running { // redelivered while it was waiting: acknowledge the latest delivery
			queued.raw = m.raw
		}
		return nil, 0
	}
	q := s.queues[m.lane.Key]
	if q == nil {
		q = &queue{pace: initialPace}
		s.queues[m.lane.Key] = q
	}
	if i, found := q.searchPostponed(m.sequence); found {
		m.returned = true
		q.postponed = slices.Delete(q.postponed, i, i+1)
	}
	if len(q.messages) == 0 {
		s.order = append(s.order, m.lane.Key)
	}
	q.messages = append(q.messages, m)
	s.bySequence[m.sequence] = m
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
	excess = longest.messages[len(longest.messages)-1]
	s.take(longest, len(longest.messages)-1)
	delete(s.bySequence, excess.sequence)
	i, _ := longest.searchPostponed(excess.sequence)
	delay = min(max(time.Duration(len(longest.messages)+i)*longest.pace/2, minPostponed), maxPostponed)
	longest.postponed = slices.Insert(longest.postponed, i, postponed{excess.sequence, now.Add(delay)})
	s.wake.Broadcast()
	return excess, delay
}

// searchPostponed returns the index of the sequence in q.postponed, or where to insert it, and
// reports whether it was found.
func (q *queue) searchPostponed(sequence uint64) (int, bool) {
	return slices.BinarySearchFunc(q.postponed, sequence, func(p postponed, sequence uint64) int {
		return cmp.Compare(p.sequence, sequence)
	})
}

// dropStale drops postponed messages that were not redelivered to this runner: another replica has
// received them.
func (s *scheduler) dropStale(now time.Time) {
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

// take removes the waiting message at index i of a queue and returns it.
func (s *scheduler) take(q *queue, i int) *waiting {
	m := q.messages[i]
	q.messages = slices.Delete(q.messages, i, i+1)
	s.waiting--
	if len(q.messages) == 0 {
		s.order = slices.DeleteFunc(s.order, func(key string) bool { return key == m.lane.Key })
	}
	return m
}

// next returns the next message to handle and counts it as running. It blocks until there is one,
// and returns nil once ctx is canceled.
func (s *scheduler) next(ctx context.Context) (m *waiting) {
	s.wait(ctx, func() bool {
		m = s.ready()
		return m != nil
	})
	return m
}

// ready returns the next message that may run now and counts it as running, or nil if there is
// none. The caller must hold s.mu.
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
		// Move the key to the end, so that the other keys are served first.
		s.order = append(slices.Delete(s.order, n, n+1), key)
		m := s.take(q, 0)
		m.running = true
		q.running++
		s.running[lane.Group]++
		return m
	}
	return nil
}

// done records that a message returned by next has been handled.
func (s *scheduler) done(m *waiting, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.bySequence, m.sequence)
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
		q.ended = time.Time{} // the idle time until the next message must not count as pace
		if len(q.postponed) == 0 {
			delete(s.queues, m.lane.Key)
		}
	}
	// Wake all workers: it is not known which of them waits for this group or key.
	s.wake.Broadcast()
}

// pause stops next from returning messages until resume is called.
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

// awaitResume blocks while any pause is in effect, or until ctx is canceled.
func (s *scheduler) awaitResume(ctx context.Context) {
	s.wait(ctx, func() bool { return s.paused == 0 })
}

// wait blocks until ready returns true or ctx is canceled. It calls ready with s.mu held.
func (s *scheduler) wait(ctx context.Context, ready func() bool) {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wake.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for ctx.Err() == nil && !ready() {
		s.wake.Wait()
	}
}

// waitingMessages returns all waiting messages, without removing them.
func (s *scheduler) waitingMessages() []jetstream.Msg {
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
