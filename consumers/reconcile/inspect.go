package reconcile

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"intray/consumers/runner"
	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/schema"
)

// suspect is a key at which the streams differed.
type suspect struct {
	key    string
	listed *schema.Object // as the listing showed it; nil if it did not
	since  time.Time      // when the difference was first found
}

// suspect adds a difference to those that are to be inspected.
func (r *run) suspect(ctx context.Context, p pair) error {
	s := suspect{listed: p.object, since: time.Now()}
	if p.object != nil {
		s.key = p.object.Key
	} else {
		s.key = p.document.ObjectKey
	}
	// No text in the database can hold such a key.
	if !utf8.ValidString(s.key) || strings.ContainsRune(s.key, 0) {
		r.found(unstorable(*p.object))
		return nil
	}
	if r.suspects = append(r.suspects, s); len(r.suspects) < inspectBatch {
		return nil
	}
	return r.examine(ctx)
}

// examine inspects the suspects: what is in order is dropped, what differs and
// has settled is dealt with, and the rest waits.
func (r *run) examine(ctx context.Context) error {
	batch := r.suspects
	r.suspects = r.suspects[:0]
	if err := r.judge(ctx, batch); err != nil {
		return err
	}
	if len(r.waiting) < maxWaiting {
		return nil
	}
	return r.settle(ctx, maxWaiting/2)
}

// settle inspects what waits again and again, until no more than most wait. Each
// of them is in order after a while, or counts.
func (r *run) settle(ctx context.Context, most int) error {
	for pause := r.Settle / 8; len(r.waiting) > most; pause = min(2*pause, r.Settle/2) {
		r.reportProgress()
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		again := r.waiting
		r.waiting = nil
		for len(again) > 0 {
			n := min(inspectBatch, len(again))
			if err := r.judge(ctx, again[:n]); err != nil {
				return err
			}
			again = again[n:]
		}
	}
	return nil
}

// judge inspects a batch of suspects and deals with the differences that count.
func (r *run) judge(ctx context.Context, batch []suspect) error {
	results, err := r.inspect(ctx, batch)
	if err != nil {
		return err
	}
	var findings []Finding
	var adopted []string
	for i, s := range batch {
		found := results[i]
		over := time.Since(s.since) >= r.Settle
		switch {
		case found.moved && over: // a key that keeps changing is in somebody's hands
		case found.moved:
			r.waiting = append(r.waiting, s)
		case found.kind == inOrder:
		case found.kind == adopt:
			if r.Fix {
				adopted = append(adopted, s.key)
			}
		case !over && time.Since(found.changedAt(s.since)) < r.Settle:
			r.waiting = append(r.waiting, s)
		default:
			findings = append(findings, found.finding(s.key))
		}
	}
	if r.Fix {
		if err := r.fix(ctx, findings, adopted); err != nil {
			return err
		}
	}
	for _, f := range findings {
		r.found(f)
	}
	return nil
}

// inspection is what was found at a key when it was inspected.
type inspection struct {
	state
	kind Kind
	// moved reports that the key's rows changed while its object was inspected.
	moved bool
	// refused is why nothing is known of the object.
	refused error
}

// inspect reads the keys' rows, stats their objects, and reads the rows again: a
// verdict on a document and an object that were not there at the same moment
// would be none. It fails when a dependency does not answer.
func (r *run) inspect(ctx context.Context, batch []suspect) ([]inspection, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	keys := make([]string, len(batch))
	for i, s := range batch {
		keys[i] = s.key
	}
	before, err := r.db.ObjectKeyStates(ctx, keys)
	if err != nil {
		return nil, err
	}
	objects := minio.StatAll(ctx, r.objects, keys)
	after, err := r.db.ObjectKeyStates(ctx, keys)
	if err != nil {
		return nil, err
	}
	results := make([]inspection, len(batch))
	for i, s := range batch {
		o := objects[s.key]
		if runner.Outage(o.Err) {
			return nil, o.Err
		}
		results[i] = inspectionOf(after[s.key], o, s.listed)
		results[i].moved = !same(before[s.key], after[s.key])
	}
	return results, nil
}

// inspectionOf returns the inspection of a key from its rows and the stat of its object.
func inspectionOf(known postgres.ObjectKeyState, o minio.StatResult, listed *schema.Object) inspection {
	l := inspection{state: state{ObjectKeyState: known}}
	switch {
	case o.Err == nil:
		l.object = &o.Object
	case o.Absent():
	case known.Document == nil && listed != nil:
		l.object = listed // a listing proves that it is there, which is all that matters
	case known.Document == nil: // nothing there that anybody could see
	default:
		l.kind, l.refused = Unchecked, o.Err
		return l
	}
	l.kind = l.verdict()
	return l
}
