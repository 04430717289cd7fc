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
	since  time.Time      // when the difference was seen first
}

// suspect takes a difference up, to be looked at again with others.
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
	if r.suspects = append(r.suspects, s); len(r.suspects) < lookBatch {
		return nil
	}
	return r.examine(ctx)
}

// examine looks at the suspects: what is in order is dropped, what differs and
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

// settle looks at what waits again and again, until no more than most wait. Each
// of them is in order after a while, or counts.
func (r *run) settle(ctx context.Context, most int) error {
	for pause := r.Settle / 8; len(r.waiting) > most; pause = min(2*pause, r.Settle/2) {
		r.tell()
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
			n := min(lookBatch, len(again))
			if err := r.judge(ctx, again[:n]); err != nil {
				return err
			}
			again = again[n:]
		}
	}
	return nil
}

// judge looks at a batch of suspects.
func (r *run) judge(ctx context.Context, batch []suspect) error {
	looks, err := r.look(ctx, batch)
	if err != nil {
		return err
	}
	var findings []Finding
	var adopted []string
	for i, s := range batch {
		l := looks[i]
		over := time.Since(s.since) >= r.Settle
		switch {
		case l.moved && over: // a key that keeps changing is in somebody's hands
		case l.moved:
			r.waiting = append(r.waiting, s)
		case l.kind == inOrder:
		case l.kind == adopt:
			if r.Fix {
				adopted = append(adopted, s.key)
			}
		case !over && time.Since(l.changedAt(s.since)) < r.Settle:
			r.waiting = append(r.waiting, s)
		default:
			findings = append(findings, l.finding(s.key))
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

// seen is what a second look found at a key.
type seen struct {
	state
	kind Kind
	// moved says that the key's rows changed while its object was looked at.
	moved bool
	// refused is why nothing is known of the object.
	refused error
}

// look reads the keys' rows, looks at their objects, and reads the rows again: a
// verdict on a document and an object that were not there at the same moment
// would be none. It fails when a dependency does not answer.
func (r *run) look(ctx context.Context, batch []suspect) ([]seen, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	keys := make([]string, len(batch))
	for i, s := range batch {
		keys[i] = s.key
	}
	before, err := r.db.KeyStates(ctx, keys)
	if err != nil {
		return nil, err
	}
	objects := minio.StatAll(ctx, r.objects, keys)
	after, err := r.db.KeyStates(ctx, keys)
	if err != nil {
		return nil, err
	}
	looks := make([]seen, len(batch))
	for i, s := range batch {
		o := objects[s.key]
		if runner.Outage(o.Err) {
			return nil, o.Err
		}
		looks[i] = judged(after[s.key], o, s.listed)
		looks[i].moved = !same(before[s.key], after[s.key])
	}
	return looks, nil
}

func judged(known postgres.KeyState, o minio.StatResult, listed *schema.Object) seen {
	l := seen{state: state{KeyState: known}}
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
