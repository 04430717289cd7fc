package reconcile

import (
	"context"
	"maps"
	"strings"
	"time"
	"unicode/utf8"

	"intray/consumers/runner"
	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/schema"
)

// candidate is a key at which listing and database differed.
type candidate struct {
	key    string
	listed *schema.Object // the object in the listing; nil if there was none
	since  time.Time      // when the difference was first found
}

// addCandidate adds a difference to the candidates, and inspects them if there are inspectBatch.
func (r *run) addCandidate(ctx context.Context, p pair) error {
	c := candidate{listed: p.object, since: time.Now()}
	if p.object != nil {
		c.key = p.object.Key
	} else {
		c.key = p.document.ObjectKey
	}
	// PostgreSQL cannot store a key that is not valid UTF-8 or contains NUL.
	if !utf8.ValidString(c.key) || strings.ContainsRune(c.key, 0) {
		r.found(unstorable(*p.object))
		return nil
	}
	if r.candidates = append(r.candidates, c); len(r.candidates) < inspectBatch {
		return nil
	}
	return r.examine(ctx)
}

// examine evaluates the candidates, and rechecks waiting ones if there are too many.
func (r *run) examine(ctx context.Context) error {
	batch := r.candidates
	r.candidates = r.candidates[:0]
	if err := r.evaluate(ctx, batch); err != nil {
		return err
	}
	if len(r.waiting) < maxWaiting {
		return nil
	}
	return r.recheck(ctx, maxWaiting/2)
}

// recheck evaluates the waiting candidates repeatedly, with growing pauses, until at most limit are
// waiting. After Options.Settle each of them is either correct or counts as a difference.
func (r *run) recheck(ctx context.Context, limit int) error {
	for pause := r.Settle / 8; len(r.waiting) > limit; pause = min(2*pause, r.Settle/2) {
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
			if err := r.evaluate(ctx, again[:n]); err != nil {
				return err
			}
			again = again[n:]
		}
	}
	return nil
}

// evaluate inspects a batch of candidates. It drops those that are correct, keeps those that are
// too recent in waiting, and repairs and reports the others.
func (r *run) evaluate(ctx context.Context, batch []candidate) error {
	results, err := r.inspect(ctx, batch)
	if err != nil {
		return err
	}
	var findings []Finding
	var adopted []string
	for i, c := range batch {
		found := results[i]
		settled := time.Since(c.since) >= r.Settle
		switch {
		case found.changed && settled: // the key keeps changing, so something is handling it
		case found.changed:
			r.waiting = append(r.waiting, c)
		case found.kind == correct:
		case found.kind == adoptETag:
			if r.Fix {
				adopted = append(adopted, c.key)
			}
		case !settled && r.db.EstimatedNow().Sub(found.changedAt(c.since)) < r.Settle:
			r.waiting = append(r.waiting, c)
		default:
			findings = append(findings, found.finding(c.key))
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

// inspection is the result of inspecting a key.
type inspection struct {
	state
	kind Kind
	// changed reports whether the key's rows changed during the stat of its object.
	changed bool
	// err is the error of the stat, if the kind is Unchecked.
	err error
}

// inspect reads the rows of the keys, stats their objects and reads the rows again. The second read
// detects changes, because a verdict is valid only for a document and an object that existed at the
// same time. inspect returns an error if a dependency is unavailable.
func (r *run) inspect(ctx context.Context, batch []candidate) ([]inspection, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	keys := make([]string, len(batch))
	for i, c := range batch {
		keys[i] = c.key
	}
	before, err := r.db.ObjectKeyStates(ctx, keys)
	if err != nil {
		return nil, err
	}
	objects := make(map[string]minio.StatResult, len(keys))
	for round := range minio.StatAll(ctx, r.objects, keys) {
		maps.Copy(objects, round)
	}
	after, err := r.db.ObjectKeyStates(ctx, keys)
	if err != nil {
		return nil, err
	}
	results := make([]inspection, len(batch))
	for i, c := range batch {
		o := objects[c.key]
		if runner.Outage(o.Err) {
			return nil, o.Err
		}
		results[i] = inspectionOf(after[c.key], o, c.listed)
		results[i].changed = !same(before[c.key], after[c.key])
	}
	return results, nil
}

// inspectionOf returns the inspection of a key from its rows, the stat result and the listed
// object.
func inspectionOf(
	rows postgres.ObjectKeyState, o minio.StatResult, listed *schema.Object,
) inspection {
	in := inspection{state: state{ObjectKeyState: rows}}
	switch {
	case o.Err == nil:
		in.object = &o.Object
	case o.Absent():
	case rows.Document == nil && listed != nil:
		in.object = listed // the listing proves that the object exists, which is sufficient here
	case rows.Document == nil: // neither a document nor a visible object
	default:
		in.kind, in.err = Unchecked, o.Err
		return in
	}
	in.kind = in.verdict()
	return in
}
