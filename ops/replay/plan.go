package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

// Plan is what a replay would do.
type Plan struct {
	Target    string `json:"target"`
	Selection `json:"selection"`
	Matched   int64 `json:"matched"`
	// Kinds counts the events by kind, Statuses by their documents' status now.
	Kinds    map[string]int64 `json:"kinds"`
	Statuses map[string]int64 `json:"statuses"`
	Oldest   *time.Time       `json:"oldest"`
	Newest   *time.Time       `json:"newest"`
	// Seconds is how long it would take, by the pace of former replays or a guess.
	Seconds float64 `json:"estimated_seconds"`
	// Kept is since when the stream holds events; nil if it is empty or not asked.
	Kept *time.Time `json:"kept_since,omitempty"`
	// Cut reports whether the window begins before what is kept.
	Cut bool `json:"window_is_cut"`
}

// The pace of replays where none was done yet, in events a second. Classifying
// depends on the provider; the builtin one is faster.
var guessedPace = map[string]float64{Confirm: 2000, Classify: 10}

// Prepare plans a replay of events to a target. Where r is given, which must have a
// name, it stores r with the events that it chooses, for Start and the Runner. rate
// is for the estimate; 0 stands for none. Progress, if not nil, is called with the
// number of events chosen so far.
//
// The window ends with what is there now.
func (a Archive) Prepare(
	ctx context.Context, target string, s Selection, rate float64, r *postgres.Replay,
	progress func(int64),
) (Plan, error) {
	plan := Plan{Target: target, Selection: s, Kinds: map[string]int64{}, Statuses: map[string]int64{}}
	state, err := a.readRetention(ctx, &plan)
	if err != nil {
		return plan, err
	}
	chosen, err := a.create(ctx, plan, state, r)
	if err != nil {
		return plan, err
	}
	if err := a.fill(ctx, &plan, chosen, progress); err != nil {
		return plan, a.forget(ctx, r, err)
	}
	if plan.Seconds, err = a.estimate(ctx, plan, rate); err != nil {
		return plan, a.forget(ctx, r, err)
	}
	return plan, nil
}

// readRetention returns the state of the stream that the plan's events are in, and
// fills in what of the window is kept. Objects of the bucket are in no stream.
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
	plan.retention(state, older)
	return state, nil
}

// create stores the replay, unless it is nil, and returns where its events go.
func (a Archive) create(
	ctx context.Context, plan Plan, state nats.StreamState, r *postgres.Replay,
) (*choice, error) {
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
	return &choice{db: a.DB, replay: r.Name, made: plan.FromBucket}, nil
}

// fill counts the events that the plan chooses, and stores them.
func (a Archive) fill(ctx context.Context, plan *Plan, chosen *choice, progress func(int64)) error {
	for e, err := range a.Choose(ctx, plan.Target, plan.Selection) {
		if err != nil {
			return err
		}
		plan.add(e)
		if plan.FromBucket {
			e.Sequence = uint64(plan.Matched)
		}
		if err := chosen.add(ctx, e); err != nil {
			return err
		}
		if progress != nil {
			progress(plan.Matched)
		}
	}
	return chosen.flush(ctx)
}

// estimate returns how many seconds the replay would take, at the rate at most if it
// is above 0.
func (a Archive) estimate(ctx context.Context, plan Plan, rate float64) (float64, error) {
	pace, err := a.DB.ReplayRate(ctx, plan.Target)
	if err != nil {
		return 0, err
	}
	if pace == 0 {
		pace = guessedPace[plan.Target]
	}
	if rate > 0 {
		pace = min(pace, rate)
	}
	return float64(plan.Matched) / pace, nil
}

// forget drops a replay whose planning failed.
func (a Archive) forget(ctx context.Context, r *postgres.Replay, cause error) error {
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

// retention fills in Kept and Cut. older: there are documents from before the stream
// was created, so it was lost once and made anew.
func (p *Plan) retention(state nats.StreamState, older bool) {
	if older && p.FirstSequence == 0 {
		p.Cut = p.From.Before(state.Created)
	}
	if state.FirstTime.IsZero() {
		p.Cut = p.Cut || state.LastSequence > 0
		return
	}
	p.Kept = &state.FirstTime
	lost := state.FirstSequence > 1 // something has been there before
	p.Cut = p.Cut || lost && p.From.Before(state.FirstTime) &&
		(p.FirstSequence == 0 || p.FirstSequence < state.FirstSequence)
}

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

// choice stores the positions that are chosen, in ascending order. A nil choice
// stores nothing.
type choice struct {
	db     *postgres.DB
	replay string
	made   bool
	blocks []postgres.ReplayBlock
	first  uint64
	keys   []string
}

// chosenBlocks and madeKeys are how many go to the database at once.
const (
	chosenBlocks = 64
	madeKeys     = 1000
)

func (c *choice) add(ctx context.Context, e Event) error {
	if c == nil {
		return nil
	}
	number := int64(e.Sequence / postgres.ReplayBlockSize)
	if n := len(c.blocks); n == 0 || c.blocks[n-1].Number != number {
		if n == chosenBlocks {
			if err := c.flush(ctx); err != nil {
				return err
			}
		}
		c.blocks = append(c.blocks, postgres.ReplayBlock{Number: number})
	}
	c.blocks[len(c.blocks)-1].Positions.Set(e.Sequence)
	if !c.made {
		return nil
	}
	if len(c.keys) == 0 {
		c.first = e.Sequence
	}
	if c.keys = append(c.keys, e.Keys[0]); len(c.keys) == madeKeys {
		return c.flush(ctx)
	}
	return nil
}

func (c *choice) flush(ctx context.Context) error {
	if c == nil || len(c.blocks) == 0 {
		return nil
	}
	if len(c.keys) > 0 {
		if err := c.db.AddGeneratedEvents(ctx, c.replay, c.first, c.keys); err != nil {
			return err
		}
	}
	if err := c.db.SelectEvents(ctx, c.replay, c.blocks); err != nil {
		return err
	}
	c.blocks, c.keys = c.blocks[:0], c.keys[:0]
	return nil
}

// ErrOverlap means that another replay of the same target, which has not ended,
// has chosen some of the same events.
var ErrOverlap = errors.New("another replay has chosen some of these events")

// Start marks a prepared replay as running, for a Runner to run. It fails with
// ErrOverlap; the replay is then dropped.
func (a Archive) Start(ctx context.Context, name string) error {
	other, err := a.DB.StartReplay(ctx, name)
	if err == nil && other != "" {
		err = fmt.Errorf("%w: %q; let it end, or cancel it", ErrOverlap, other)
	}
	if err != nil {
		return a.forget(ctx, &postgres.Replay{Name: name}, err)
	}
	return nil
}

// ValidName returns what is wrong with a replay's name, which becomes a part of a
// subject.
func ValidName(name string) error {
	if name == "" || len(name) > 64 {
		return errors.New("a replay's name has 1 to 64 characters")
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return schema.Errorf(schema.CodeInvalid, "A replay's name holds letters, digits, - and _ only.")
		}
	}
	return nil
}
