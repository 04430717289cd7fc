package runner

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/nats"
)

// Lane says whose turn a message takes.
type Lane struct {
	// Key names those who share fairly: each key with messages waiting is served
	// in turn, one message at a time, however many another has.
	Key string
	// Group names what the message needs, such as an AI provider, and Limit how
	// many messages of the group this runner has in hand at once; 0 for as many
	// as there are workers.
	Group string
	Limit int
	// Own is how many of the key are in hand at once; 0 for no bound. Below Limit
	// it leaves a place to others, however long those of the key take.
	Own int
}

const (
	// maxWaiting is how many messages a runner in lanes keeps beside those in
	// hand. It is small, so that replicas share a backlog; the rest of it is
	// given back for as long as it will likely have to wait.
	maxWaiting = 64
	// The bounds of that wait. What comes back too early is given back again,
	// what comes too late lets workers idle, so half of the estimate is taken.
	minPostponed, maxPostponed = 100 * time.Millisecond, 30 * time.Second
	// firstPace is how long a message is thought to take until one was measured.
	firstPace = 20 * time.Millisecond
)

// waiting is one delivered message.
type waiting struct {
	raw      jetstream.Msg
	sequence uint64
	lane     Lane
	inHand   bool
	// gaveBack says that this delivery is a repeated one because the runner gave
	// the message back until its turn.
	gaveBack bool
}

// postponed is a message that was given back until due.
type postponed struct {
	sequence uint64
	due      time.Time
}

// queue is what one key has.
type queue struct {
	messages []*waiting
	running  int
	// postponed are those that were given back, in order. Another replica may
	// have taken them since.
	postponed []postponed
	// pace is the time from one message's end to the next while the queue is
	// busy, ended when the last one did.
	pace  time.Duration
	ended time.Time
}

// lanes holds the messages of a runner and decides which is next. It is safe for
// concurrent use.
type lanes struct {
	mu      sync.Mutex
	wake    sync.Cond
	queues  map[string]*queue
	order   []string       // the keys with waiting messages, next one first
	running map[string]int // by group
	held    map[uint64]*waiting
	waiting int
	paused  int // workers that wait for a dependency
	ackWait time.Duration
}

func newLanes() *lanes {
	l := &lanes{
		queues: make(map[string]*queue), running: make(map[string]int), held: make(map[uint64]*waiting),
		ackWait: nats.AckWait,
	}
	l.wake.L = &l.mu
	return l
}

// add takes a message in, or returns one that is to be given back instead, with
// the wait: where too many wait already, the newest of the longest queue.
func (l *lanes) add(m *waiting, now time.Time) (back *waiting, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.held[m.sequence]; ok {
		if !known.inHand { // it is delivered again while it waits
			known.raw = m.raw
		}
		return nil, 0
	}
	q := l.queues[m.lane.Key]
	if q == nil {
		q = &queue{pace: firstPace}
		l.queues[m.lane.Key] = q
	}
	if i, found := q.place(m.sequence); found {
		m.gaveBack = true
		q.postponed = slices.Delete(q.postponed, i, i+1)
	}
	if len(q.messages) == 0 {
		l.order = append(l.order, m.lane.Key)
	}
	q.messages = append(q.messages, m)
	l.held[m.sequence] = m
	l.waiting++
	if l.waiting <= maxWaiting {
		l.wake.Signal()
		return nil, 0
	}
	longest := q
	for _, key := range l.order {
		if other := l.queues[key]; len(other.messages) > len(longest.messages) {
			longest = other
		}
	}
	back = longest.messages[len(longest.messages)-1]
	l.take(longest, len(longest.messages)-1)
	delete(l.held, back.sequence)
	i, _ := longest.place(back.sequence)
	wait = min(max(time.Duration(len(longest.messages)+i)*longest.pace/2, minPostponed), maxPostponed)
	longest.postponed = slices.Insert(longest.postponed, i, postponed{back.sequence, now.Add(wait)})
	l.wake.Signal()
	return back, wait
}

// place is where among the postponed a sequence is or belongs.
func (q *queue) place(sequence uint64) (int, bool) {
	return slices.BinarySearchFunc(q.postponed, sequence, func(p postponed, s uint64) int { return cmp.Compare(p.sequence, s) })
}

// forget drops what was postponed and did not come back: another replica has it.
func (l *lanes) forget(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, q := range l.queues {
		q.postponed = slices.DeleteFunc(q.postponed, func(p postponed) bool { return now.After(p.due.Add(maxPostponed)) })
		if len(q.messages) == 0 && q.running == 0 && len(q.postponed) == 0 {
			delete(l.queues, key)
		}
	}
}

// take removes the i-th waiting message of a queue.
func (l *lanes) take(q *queue, i int) *waiting {
	m := q.messages[i]
	q.messages = slices.Delete(q.messages, i, i+1)
	l.waiting--
	if len(q.messages) == 0 {
		l.order = slices.DeleteFunc(l.order, func(key string) bool { return key == m.lane.Key })
	}
	return m
}

// next returns the message whose turn it is and counts it as in hand, waiting for
// one if need be; nil once ctx has ended.
func (l *lanes) next(ctx context.Context) *waiting {
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.wake.Broadcast()
	})
	defer stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for ctx.Err() == nil {
		if m := l.ready(); m != nil {
			return m
		}
		l.wake.Wait()
	}
	return nil
}

func (l *lanes) ready() *waiting {
	if l.paused > 0 {
		return nil
	}
	for n, key := range l.order {
		q := l.queues[key]
		lane := q.messages[0].lane
		if lane.Limit > 0 && l.running[lane.Group] >= lane.Limit || lane.Own > 0 && q.running >= lane.Own {
			continue
		}
		// To the end, so that the others come first.
		l.order = append(slices.Delete(l.order, n, n+1), key)
		m := l.take(q, 0)
		m.inHand = true
		q.running++
		l.running[lane.Group]++
		return m
	}
	return nil
}

// done ends what next returned.
func (l *lanes) done(m *waiting, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, m.sequence)
	if l.running[m.lane.Group]--; l.running[m.lane.Group] == 0 {
		delete(l.running, m.lane.Group)
	}
	q := l.queues[m.lane.Key]
	q.running--
	if !q.ended.IsZero() {
		q.pace = (4*q.pace + now.Sub(q.ended)) / 5
	}
	q.ended = now
	if len(q.messages) == 0 && q.running == 0 {
		q.ended = time.Time{} // what follows is no pace
		if len(q.postponed) == 0 {
			delete(l.queues, m.lane.Key)
		}
	}
	l.wake.Broadcast() // one of its group may go on, and a worker that waits for another does not
}

// pause keeps messages from being handed out until the returned function is called.
func (l *lanes) pause() (resume func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.paused--
		l.wake.Broadcast()
	}
}

// isPaused says whether a worker waits for a dependency.
func (l *lanes) isPaused() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paused > 0
}

// setAckWait takes in the consumer's AckWait.
func (l *lanes) setAckWait(wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ackWait = wait
}

func (l *lanes) ackWaitNow() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ackWait
}

// all returns the messages that wait, without their removal.
func (l *lanes) all() []jetstream.Msg {
	l.mu.Lock()
	defer l.mu.Unlock()
	var messages []jetstream.Msg
	for _, key := range l.order {
		for _, m := range l.queues[key].messages {
			messages = append(messages, m.raw)
		}
	}
	return messages
}
