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
	// maxWaiting is how many messages a runner keeps waiting, apart from those that are handled in
	// batches, of which it keeps maxWaitingForBatch. Both are small so that replicas share a backlog.
	// The runner returns all other messages to the stream with a delay, which is an estimate of how
	// long they would have to wait anyway.
	maxWaiting, maxWaitingForBatch = 64, 512
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
	// again is the latest redelivery of the message while it was running.
	again jetstream.Msg
	// returned reports whether this is a redelivery that the runner itself caused by returning the
	// message to the stream.
	returned bool
}

// postponed is a message that was returned to the stream until due.
type postponed struct {
	sequence uint64
	due      time.Time
}

// inBatch reports whether the message is handled in a batch.
func (m *waiting) inBatch() bool { return m.lane.Batch > 1 }

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
	running    map[string]int // number of running messages and batches by group
	bySequence map[uint64]*waiting
	waiting    map[bool]int // number of waiting messages by whether they are handled in a batch
	paused     int          // number of workers that wait for a dependency
}

func newScheduler() *scheduler {
	s := &scheduler{
		queues:     make(map[string]*queue),
		running:    make(map[string]int),
		bySequence: make(map[uint64]*waiting),
		waiting:    make(map[bool]int),
	}
	s.wake.L = &s.mu
	return s
}

// add queues m. If too many messages are waiting then, it removes the newest message of the longest
// queue of messages like m, and returns it as excess. The caller returns that message to the stream
// for delay.
func (s *scheduler) add(m *waiting, now time.Time) (excess *waiting, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if queued, ok := s.bySequence[m.sequence]; ok {
		if queued.running {
			queued.again = m.raw
		} else { // redelivered while it was waiting: acknowledge the latest delivery
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
	s.waiting[m.inBatch()]++
	limit := maxWaiting
	if m.inBatch() {
		limit = maxWaitingForBatch
	}
	if s.waiting[m.inBatch()] <= limit {
		s.wake.Broadcast()
		return nil, 0
	}
	longest := q
	for _, key := range s.order {
		other := s.queues[key]
		if len(other.messages) > len(longest.messages) && other.newest().inBatch() == m.inBatch() {
			longest = other
		}
	}
	excess = longest.newest()
	s.take(longest, len(longest.messages)-1)
	delete(s.bySequence, excess.sequence)
	i, _ := longest.searchPostponed(excess.sequence)
	delay = min(max(time.Duration(len(longest.messages)+i)*longest.pace/2, minPostponed), maxPostponed)
	longest.postponed = slices.Insert(longest.postponed, i, postponed{excess.sequence, now.Add(delay)})
	s.wake.Broadcast()
	return excess, delay
}

// newest returns the last of the waiting messages, of which there must be at least one.
func (q *queue) newest() *waiting { return q.messages[len(q.messages)-1] }

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
	s.waiting[m.inBatch()]--
	if len(q.messages) == 0 {
		s.order = slices.DeleteFunc(s.order, func(key string) bool { return key == m.lane.Key })
	}
	return m
}

// next returns the messages to handle next, one or a batch of a lane, and counts them as running.
// It blocks until there is one, and returns nil once ctx is canceled.
func (s *scheduler) next(ctx context.Context) (batch []*waiting) {
	s.wait(ctx, func() bool {
		batch = s.ready()
		return len(batch) > 0
	})
	return batch
}

// ready returns the messages that may run next, one or a batch of a lane, and counts them as
// running. It returns nil if there are none. The caller must hold s.mu.
func (s *scheduler) ready() (batch []*waiting) {
	if s.paused > 0 {
		return nil
	}
	m := s.takeNext(func(l Lane) bool {
		return l.GroupLimit <= 0 || s.running[l.Group] < l.GroupLimit
	})
	if m == nil {
		return nil
	}
	s.running[m.lane.Group]++
	batch = append(batch, m)
	for m.inBatch() && len(batch) < m.lane.Batch {
		next := s.takeNext(func(l Lane) bool { return l.Batch > 1 && l.Group == m.lane.Group })
		if next == nil {
			break
		}
		batch = append(batch, next)
	}
	return batch
}

// takeNext removes and returns the first message of the next key whose lane is eligible and below
// its key limit, or returns nil if there is none. The caller must hold s.mu.
func (s *scheduler) takeNext(eligible func(Lane) bool) *waiting {
	for n, key := range s.order {
		q := s.queues[key]
		lane := q.messages[0].lane
		if !eligible(lane) || lane.KeyLimit > 0 && q.running >= lane.KeyLimit {
			continue
		}
		// Move the key to the end, so that the other keys are served first.
		s.order = append(slices.Delete(s.order, n, n+1), key)
		m := s.take(q, 0)
		m.running = true
		q.running++
		return m
	}
	return nil
}

// done records that the messages returned by next have been handled. It returns those that were
// redelivered in the meantime, which the caller must add again: a message of a batch that is
// returned to the stream with a short delay is redelivered before the last one has been
// acknowledged.
func (s *scheduler) done(batch []*waiting, now time.Time) (redelivered []jetstream.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	group := batch[0].lane.Group
	if s.running[group]--; s.running[group] == 0 {
		delete(s.running, group)
	}
	handled := make(map[string]int) // number of messages by key
	for _, m := range batch {
		delete(s.bySequence, m.sequence)
		handled[m.lane.Key]++
		if m.again != nil {
			redelivered = append(redelivered, m.again)
		}
	}
	for key, n := range handled {
		s.finish(key, n, now)
	}
	// Wake all workers: it is not known which of them waits for this group or key.
	s.wake.Broadcast()
	return redelivered
}

// finish records that n messages of a key have been handled. The caller must hold s.mu.
func (s *scheduler) finish(key string, n int, now time.Time) {
	q := s.queues[key]
	q.running -= n
	if !q.ended.IsZero() {
		q.pace = (4*q.pace + now.Sub(q.ended)/time.Duration(n)) / 5
	}
	q.ended = now
	if len(q.messages) == 0 && q.running == 0 {
		q.ended = time.Time{} // the idle time until the next message must not count as pace
		if len(q.postponed) == 0 {
			delete(s.queues, key)
		}
	}
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
