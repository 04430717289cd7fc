package runner

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"intray/infra/postgres"
)

const (
	// maxPostponements limits the number of messages whose recorded postponements are cached.
	maxPostponements = 100_000
	// minParkedWait is the shortest postponement for which a message is parked.
	minParkedWait = time.Second
	// keptGrace is how long a postponed message is counted after it was due. When this is over,
	// another replica has received it.
	keptGrace = time.Minute
)

// postponements remembers the postponed messages, by their sequence in the stream: which of their
// postponements were recorded, and which messages are kept in the stream. The others are parked.
type postponements struct {
	mu       sync.Mutex
	recorded *simplelru.LRU[uint64, postponement]
	maxKept  int                  // 0: no limit
	kept     map[uint64]time.Time // when the message is due
}

// postponement is what is remembered of a message's recorded postponements.
type postponement struct {
	first time.Time // when the first was recorded
	until time.Time // until when the message may be postponed without another record
}

func newPostponements(maxKept int) *postponements {
	// NewLRU fails only for sizes below 1.
	recorded, _ := simplelru.NewLRU[uint64, postponement](maxPostponements, nil)
	return &postponements{recorded: recorded, maxKept: maxKept, kept: make(map[uint64]time.Time)}
}

// keep reports whether a message that is postponed by wait stays in the stream. It returns false if
// too many others do.
func (p *postponements) keep(sequence uint64, now time.Time, wait time.Duration) bool {
	if p.maxKept == 0 || wait < minParkedWait {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.kept[sequence]; !ok && len(p.kept) >= p.maxKept {
		maps.DeleteFunc(p.kept, func(_ uint64, due time.Time) bool {
			return now.After(due.Add(keptGrace))
		})
		if len(p.kept) >= p.maxKept {
			return false
		}
	}
	p.kept[sequence] = now.Add(wait)
	return true
}

// due reports whether the postponement of a message by wait is due to be recorded. The sweeper
// relies on the interval (postgres.DB.UnclassifiedDocuments).
func (p *postponements) due(sequence uint64, now time.Time, wait time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, ok := p.recorded.Peek(sequence)
	next := now.Add(wait)
	switch {
	case !ok:
		last.first = now
	case !next.After(last.until):
		return false
	}
	interval := min(max(now.Sub(last.first), postgres.MinRecordInterval), postgres.MaxRecordInterval)
	last.until = next.Add(interval)
	p.recorded.Add(sequence, last)
	return true
}

// forget removes a message.
func (p *postponements) forget(sequence uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recorded.Remove(sequence)
	delete(p.kept, sequence)
}

// id identifies the message in the database.
func (f *inFlight[T]) id() postgres.Message {
	return postgres.Message{Sequence: f.meta.Sequence.Stream, StoredAt: f.meta.Timestamp}
}

// readAttempts sets the Attempts of the redelivered messages of a batch. A first delivery has no
// failed attempts, so it costs no query. readAttempts returns an error only during an outage.
func (r *Runner[T]) readAttempts(ctx context.Context, batch []*inFlight[T]) error {
	var redelivered []postgres.Message
	for _, f := range batch {
		if f.meta.NumDelivered > 1 {
			redelivered = append(redelivered, f.id())
		}
	}
	if len(redelivered) == 0 {
		return nil
	}
	failed, err := r.db.FailedAttempts(ctx, r.config.Stream, r.config.Consumer, redelivered)
	if Outage(err) {
		return err
	}
	if err != nil { // the messages are handled all the same; CountAttempt does not use these numbers
		r.log.Error("cannot read attempts", "messages", len(redelivered), "error", err)
	}
	for _, f := range batch {
		f.message.Attempts = failed[f.message.Sequence]
	}
	return nil
}

// forgetAttempts deletes the numbers of failed attempts of the messages that have been handled. An
// error is harmless, because nothing reads the number of an acknowledged message.
func (r *Runner[T]) forgetAttempts(ctx context.Context, batch []*inFlight[T]) {
	var handled []postgres.Message
	for _, f := range batch {
		if f.err == nil && f.message.Attempts > 0 {
			handled = append(handled, f.id())
		}
	}
	if len(handled) == 0 {
		return
	}
	err := r.db.ForgetAttempts(ctx, r.config.Stream, r.config.Consumer, handled)
	if err != nil {
		r.log.Debug("cannot forget attempts", "messages", len(handled), "error", err)
	}
}

// checkDependencies turns the failures of a batch into an outage if a dependency is unavailable,
// because an attempt counts only if all of them are available.
func (r *Runner[T]) checkDependencies(ctx context.Context, batch []*inFlight[T]) {
	checked := false
	var outage error
	for _, f := range batch {
		if f.err == nil || Uncounted(f.err) {
			continue
		}
		if !checked {
			checked = true
			ctx, cancel := context.WithTimeout(ctx, probeTimeout)
			outage = r.config.Probe(ctx)
			cancel()
		}
		if outage != nil {
			f.err = &outageError{cause: f.err, outage: outage}
		}
	}
}
