package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"intray/infra/nats"
	"intray/infra/postgres"
)

// Plan describes what a replay would do.
type Plan struct {
	Target    string `json:"target"`
	Selection `json:"selection"`
	Matched   int64 `json:"matched"`
	// Kinds counts the events by kind, Statuses by the current status of their documents.
	Kinds    map[string]int64 `json:"kinds"`
	Statuses map[string]int64 `json:"statuses"`
	Oldest   *time.Time       `json:"oldest"`
	Newest   *time.Time       `json:"newest"`
	// Seconds is the estimated duration, based on the rate of earlier replays or on a default.
	Seconds float64 `json:"estimated_seconds"`
	// RetainedSince is the time of the oldest event in the stream. It is nil if the stream is
	// empty, or if the events are generated from the bucket.
	RetainedSince *time.Time `json:"retained_since,omitempty"`
	// Truncated reports whether the time window starts before the oldest event that the stream
	// still stores, so that events of the window may be missing.
	Truncated bool `json:"window_truncated"`
}

// defaultRates are the estimated rates, in events per second, if no replay to the target has
// been completed yet. The rate of classify depends on the AI provider; the builtin provider is
// faster.
var defaultRates = map[string]float64{Confirm: 2000, Classify: 10}

// Prepare plans a replay of events to a target. It selects events that exist when it is called.
// If r is not nil, Prepare stores r, which must have a name, together with the positions of the
// selected events, so that Start and a Runner can run it. rate, in events per second, is used
// for the estimate; 0 means no limit. progress, if not nil, is called with the number of events
// selected so far.
func (a Archive) Prepare(
	ctx context.Context, target string, s Selection, rate float64, r *postgres.Replay,
	progress func(int64),
) (Plan, error) {
	plan := Plan{Target: target, Selection: s, Kinds: map[string]int64{}, Statuses: map[string]int64{}}
	state, err := a.readRetention(ctx, &plan)
	if err != nil {
		return plan, err
	}
	positions, err := a.create(ctx, plan, state, r)
	if err != nil {
		return plan, err
	}
	if err := a.selectEvents(ctx, &plan, positions, progress); err != nil {
		return plan, a.discard(ctx, r, err)
	}
	if plan.Seconds, err = a.estimate(ctx, plan, rate); err != nil {
		return plan, a.discard(ctx, r, err)
	}
	return plan, nil
}

// readRetention returns the state of the stream that stores the plan's events, and sets
// RetainedSince and Truncated. It does nothing if the events are generated from the bucket.
func (a Archive) readRetention(
	ctx context.Context, plan *Plan,
) (state nats.StreamState, err error) {
	if plan.FromBucket {
		return state, nil
	}
	stream, _ := sourceOf(plan.Target)
	if state, err = a.Conn.State(ctx, stream); err != nil {
		return state, err
	}
	older, err := a.DB.HasDocumentsBefore(ctx, state.Created)
	if err != nil {
		return state, err
	}
	plan.setRetention(state, older)
	return state, nil
}

// create stores the replay and returns a writer for the positions of its events. It does
// nothing and returns a nil writer if r is nil.
func (a Archive) create(
	ctx context.Context, plan Plan, state nats.StreamState, r *postgres.Replay,
) (*positionWriter, error) {
	if r == nil {
		return nil, nil
	}
	r.Target = plan.Target
	if !plan.FromBucket {
		r.Stream, _ = sourceOf(plan.Target)
		r.StreamCreated = &state.Created
	}
	if err := a.DB.CreateReplay(ctx, *r); err != nil {
		return nil, err
	}
	return &positionWriter{db: a.DB, replay: r.Name, generated: plan.FromBucket}, nil
}

// selectEvents counts the events that match the plan's selection and writes their positions.
func (a Archive) selectEvents(
	ctx context.Context, plan *Plan, positions *positionWriter, progress func(int64),
) error {
	for e, err := range a.Select(ctx, plan.Target, plan.Selection) {
		if err != nil {
			return err
		}
		plan.add(e)
		if plan.FromBucket {
			e.Sequence = uint64(plan.Matched)
		}
		if err := positions.add(ctx, e); err != nil {
			return err
		}
		if progress != nil {
			progress(plan.Matched)
		}
	}
	return positions.flush(ctx)
}

// estimate returns the estimated duration of the replay in seconds. If limit is above 0, the
// replay publishes at most limit events per second.
func (a Archive) estimate(ctx context.Context, plan Plan, limit float64) (float64, error) {
	rate, err := a.DB.ReplayRate(ctx, plan.Target)
	if err != nil {
		return 0, err
	}
	if rate == 0 {
		rate = defaultRates[plan.Target]
	}
	if limit > 0 {
		rate = min(rate, limit)
	}
	return float64(plan.Matched) / rate, nil
}

// discard deletes a replay whose planning failed, unless r is nil, and returns the cause.
func (a Archive) discard(ctx context.Context, r *postgres.Replay, cause error) error {
	if r == nil {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := a.DB.DeletePlannedReplay(ctx, r.Name); err != nil {
		return errors.Join(cause, err)
	}
	return cause
}

// setRetention sets RetainedSince and Truncated. olderDocuments reports whether some documents are
// older than the stream. If so, an earlier stream that held their events was lost.
func (p *Plan) setRetention(state nats.StreamState, olderDocuments bool) {
	if olderDocuments && p.FirstSequence == 0 {
		p.Truncated = p.From.Before(state.Created)
	}
	if state.FirstTime.IsZero() {
		p.Truncated = p.Truncated || state.LastSequence > 0
		return
	}
	p.RetainedSince = &state.FirstTime
	deleted := state.FirstSequence > 1 // the stream no longer stores its first events
	p.Truncated = p.Truncated || deleted && p.From.Before(state.FirstTime) &&
		(p.FirstSequence == 0 || p.FirstSequence < state.FirstSequence)
}

// add counts an event.
func (p *Plan) add(e Event) {
	p.Matched++
	p.Kinds[e.Kind]++
	p.Statuses[e.Status]++
	t := e.Time
	if p.Oldest == nil || t.Before(*p.Oldest) {
		p.Oldest = &t
	}
	if p.Newest == nil || t.After(*p.Newest) {
		p.Newest = &t
	}
}

// positionWriter stores the positions of the selected events, and the keys of generated ones.
// The methods of a nil positionWriter do nothing.
type positionWriter struct {
	db        *postgres.DB
	replay    string
	generated bool
	blocks    []postgres.ReplayBlock
	firstKey  uint64 // the position of keys[0]
	keys      []string
}

// maxBlocks and maxKeys are the largest numbers of blocks and keys that one query stores.
const (
	maxBlocks = 64
	maxKeys   = 1000
)

// add adds an event. The events must be added in ascending order of their positions.
func (w *positionWriter) add(ctx context.Context, e Event) error {
	if w == nil {
		return nil
	}
	number := int64(e.Sequence / postgres.ReplayBlockSize)
	if n := len(w.blocks); n == 0 || w.blocks[n-1].Number != number {
		if n == maxBlocks {
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
		w.blocks = append(w.blocks, postgres.ReplayBlock{Number: number})
	}
	w.blocks[len(w.blocks)-1].Positions.Set(e.Sequence)
	if !w.generated {
		return nil
	}
	if len(w.keys) == 0 {
		w.firstKey = e.Sequence
	}
	if w.keys = append(w.keys, e.Keys[0]); len(w.keys) == maxKeys {
		return w.flush(ctx)
	}
	return nil
}

// flush stores the events that were added since the last flush.
func (w *positionWriter) flush(ctx context.Context) error {
	if w == nil || len(w.blocks) == 0 {
		return nil
	}
	if len(w.keys) > 0 {
		if err := w.db.AddGeneratedEvents(ctx, w.replay, w.firstKey, w.keys); err != nil {
			return err
		}
	}
	if err := w.db.SelectEvents(ctx, w.replay, w.blocks); err != nil {
		return err
	}
	w.blocks, w.keys = w.blocks[:0], w.keys[:0]
	return nil
}

// ErrOverlap means that another replay of the same target, which has not ended, has selected
// some of the same events.
var ErrOverlap = errors.New("another replay has selected some of these events")

// Start marks a prepared replay as running, so that a Runner can run it. If it fails, for
// example with ErrOverlap, it deletes the replay.
func (a Archive) Start(ctx context.Context, name string) error {
	other, err := a.DB.StartReplay(ctx, name)
	if err == nil && other != "" {
		err = fmt.Errorf("%w: %q; wait until it has ended, or cancel it", ErrOverlap, other)
	}
	if err != nil {
		return a.discard(ctx, &postgres.Replay{Name: name}, err)
	}
	return nil
}

// ValidName returns an error unless name is a valid name for a replay. The name is part of a
// NATS subject.
func ValidName(name string) error {
	if name == "" || len(name) > 64 {
		return errors.New("the name of a replay must have 1 to 64 characters")
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return errors.New("the name of a replay may contain only letters, digits, - and _")
		}
	}
	return nil
}
