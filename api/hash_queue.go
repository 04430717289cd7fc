package api

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// hashWaitTimeout bounds how long a request waits while other passwords are being hashed.
	hashWaitTimeout = 10 * time.Second
	// maxWaitingHashes is the maximum number of requests that wait.
	maxWaitingHashes = 256
)

// errHashQueueBusy means that a password was not hashed, because too many others were waiting or
// the wait took too long.
var errHashQueueBusy = errors.New("too many passwords are waiting to be hashed")

// hashQueue limits how many passwords are hashed concurrently, and decides whose is next: the one
// with the fewest others ahead of it of the same client address or of the same account. Of several,
// the oldest is next. A client that sends many sign-ins at once, or many clients that guess the
// password of one account, therefore delay mainly themselves.
type hashQueue struct {
	mu      sync.Mutex
	free    int // number of further passwords that may be hashed now
	waiting []*hashTurn
	// unfinished is the number of passwords that are waiting or being hashed, by address and by
	// account.
	unfinished map[hashKey]int
}

// hashKey is a client address or an account. Both occur as strings, so kind distinguishes them.
type hashKey struct{ kind, value string }

// hashTurn is the turn of one password.
type hashTurn struct {
	keys [2]hashKey
	rank int        // number of passwords that were ahead of it when it arrived
	next chan error // receives nil when it is this password's turn
}

func newHashQueue(concurrency int) *hashQueue {
	return &hashQueue{free: concurrency, unfinished: make(map[hashKey]int)}
}

// acquire waits until a password may be hashed for the account and the client's address. It returns
// a function that must be called afterwards. It fails with errHashQueueBusy, or when ctx is done.
func (q *hashQueue) acquire(
	ctx context.Context, address, account string,
) (release func(), err error) {
	turn := q.add(address, account)
	timeout := time.NewTimer(hashWaitTimeout)
	defer timeout.Stop()
	select {
	case err = <-turn.next:
	case <-timeout.C:
		err = errHashQueueBusy
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		q.abandon(turn)
		return nil, err
	}
	return func() { q.release(turn) }, nil
}

// add adds a turn. If too many are waiting then, the newest one of the highest rank fails.
func (q *hashQueue) add(address, account string) *hashTurn {
	q.mu.Lock()
	defer q.mu.Unlock()
	turn := &hashTurn{
		keys: [2]hashKey{{"address", address}, {"account", account}},
		next: make(chan error, 1),
	}
	for _, k := range turn.keys {
		turn.rank = max(turn.rank, q.unfinished[k])
		q.unfinished[k]++
	}
	q.waiting = append(q.waiting, turn)
	if len(q.waiting) > maxWaitingHashes {
		last := 0
		for i, w := range q.waiting {
			if w.rank >= q.waiting[last].rank {
				last = i
			}
		}
		q.waiting[last].next <- errHashQueueBusy
		q.waiting = slices.Delete(q.waiting, last, last+1)
	}
	q.startNext()
	return turn
}

// startNext starts waiting turns as long as there are free ones. The caller must hold q.mu.
func (q *hashQueue) startNext() {
	for q.free > 0 && len(q.waiting) > 0 {
		first := 0
		for i, w := range q.waiting {
			if w.rank < q.waiting[first].rank {
				first = i
			}
		}
		q.waiting[first].next <- nil
		q.waiting = slices.Delete(q.waiting, first, first+1)
		q.free--
	}
}

// release ends a turn in which a password was hashed.
func (q *hashQueue) release(turn *hashTurn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free++
	q.forget(turn)
}

// abandon ends a turn that is not used. It may have started in the meantime.
func (q *hashQueue) abandon(turn *hashTurn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.DeleteFunc(q.waiting, func(w *hashTurn) bool { return w == turn })
	select {
	case err := <-turn.next:
		if err == nil {
			q.free++
		}
	default:
	}
	q.forget(turn)
}

// forget removes an ended turn and starts the next one. The caller must hold q.mu.
func (q *hashQueue) forget(turn *hashTurn) {
	for _, k := range turn.keys {
		if q.unfinished[k]--; q.unfinished[k] == 0 {
			delete(q.unfinished, k)
		}
	}
	q.startNext()
}
