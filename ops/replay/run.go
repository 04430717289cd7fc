package replay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

// Runner publishes the events of replays that were started, and waits for what
// becomes of them. Any process may go on with what another left.
type Runner struct {
	Archive
	// MaxLag is how many live messages may wait for the target's own consumer while
	// replayed ones are published; default 200.
	MaxLag uint64
	// Progress, if not nil, is called at least once a second with the replay as it
	// stands, and what it waits for, empty if for nothing.
	Progress func(r postgres.Replay, waiting string)
}

// ErrAttended says that another process is publishing the replay's events.
var ErrAttended = errors.New("another process is at this replay")

// ErrOver says that a replay cannot go on, now or later.
var ErrOver = errors.New("it does not go on")

// pacing is how a target's replayed events are published: window is how many may
// wait for the consumer or be in its hands, chunk how many are published at once.
type pacing struct {
	window uint64
	chunk  int
}

var paces = map[string]pacing{Confirm: {window: 2048, chunk: 512}, Classify: {window: 64, chunk: 16}}

// defaultLag is Runner.MaxLag's default: a second's worth of a small burst.
const defaultLag = 200

const (
	// pageBlocks is how much of the source is read at once.
	pageBlocks = 16
	// Look intervals, while something is waited for and for the replay's row.
	waitStep = 50 * time.Millisecond
	lookStep = time.Second
)

// Run goes on with a replay until it is done, or until somebody pauses or cancels
// it, and returns it as it then is. A paused one runs again. It fails with
// ErrAttended where another process runs it already, and with whatever keeps it
// from going on; it can be run again then.
func (r Runner) Run(ctx context.Context, name string) (postgres.Replay, error) {
	release, ok, err := r.DB.TryLock(ctx, postgres.ReplayLock(name))
	if err != nil {
		return postgres.Replay{}, err
	}
	if !ok {
		return postgres.Replay{}, fmt.Errorf("replay %s: %w", name, ErrAttended)
	}
	defer release()
	replay, err := r.DB.Replay(ctx, name)
	if err != nil {
		return replay, err
	}
	switch replay.Status {
	case postgres.ReplayRunning, postgres.ReplayPaused:
	case postgres.ReplayPlanning:
		return replay, fmt.Errorf("%w: replay %s ended before it began, while its events were chosen; cancel it and make it anew", ErrOver, name)
	default:
		return replay, fmt.Errorf("%w: replay %s is %s", ErrOver, name, replay.Status)
	}
	if err := r.sameStream(ctx, replay); err != nil {
		return replay, err
	}
	if _, err := r.DB.TurnReplay(ctx, name, postgres.ReplayRunning); err != nil {
		return replay, err
	}
	run := &run{Runner: r, replay: replay, pace: paces[replay.Target], began: time.Now()}
	run.MaxLag = cmp.Or(r.MaxLag, defaultLag)
	if err := run.all(ctx); err != nil && !errors.Is(err, errStopped) {
		return run.replay, err
	}
	ended, err := r.DB.Replay(context.WithoutCancel(ctx), name)
	ended.Attended = false // by this run, which is over
	return ended, err
}

// Cancel ends a replay for good: what is not delivered yet never is.
func (r Runner) Cancel(ctx context.Context, name string) (postgres.Replay, error) {
	replay, err := r.DB.Replay(ctx, name)
	if err != nil {
		return replay, err
	}
	if replay.EndedAt != nil {
		return replay, fmt.Errorf("replay %s is %s already", name, replay.Status)
	}
	if _, err := r.DB.TurnReplay(ctx, name, postgres.ReplayCanceled); err != nil { // its runner stops
		return replay, err
	}
	if err := r.Conn.PurgeReplay(ctx, nats.ReplaySubject(replay.Target, name), 0); err != nil {
		return replay, err
	}
	if err := r.DB.EndReplay(ctx, name, postgres.ReplayCanceled); err != nil {
		return replay, err
	}
	return r.DB.Replay(ctx, name)
}

// sameStream fails where the replay's sequences mean other events by now.
func (r Runner) sameStream(ctx context.Context, replay postgres.Replay) error {
	if replay.Stream == "" {
		return nil
	}
	state, err := r.Conn.State(ctx, replay.Stream)
	if err != nil {
		return err
	}
	if replay.StreamCreated != nil && !replay.StreamCreated.Equal(state.Created) {
		return fmt.Errorf("%w: the stream %s was made anew since replay %s was planned: its events are gone; cancel it", ErrOver, replay.Stream, replay.Name)
	}
	return nil
}

// errStopped says that somebody paused or canceled the replay.
var errStopped = errors.New("stopped")

// run is one run of a replay.
type run struct {
	Runner
	replay  postgres.Replay
	pace    pacing
	round   int
	began   time.Time
	sent    int // in this run
	shown   time.Time
	looked  time.Time
	waiting string
	gone    []postgres.Decided
}

// all publishes what is undecided, waits for its outcomes, and does so again for
// what got lost on the way, in other rounds under other message ids.
func (r *run) all(ctx context.Context) error {
	for {
		if err := r.pass(ctx); err != nil {
			return err
		}
		left, err := r.settle(ctx)
		if err != nil {
			return err
		}
		if !left {
			break
		}
		r.round++
		r.replay.Position = 0
		if err := r.advance(ctx, 0, 0); err != nil {
			return err
		}
	}
	if err := r.Conn.PurgeReplay(ctx, r.subject(), 0); err != nil {
		return err
	}
	return r.DB.EndReplay(ctx, r.replay.Name, postgres.ReplayDone)
}

func (r *run) subject() string { return nats.ReplaySubject(r.replay.Target, r.replay.Name) }

// pass publishes the undecided events after the position.
func (r *run) pass(ctx context.Context) error {
	for {
		blocks, err := r.DB.UndecidedEvents(ctx, r.replay.Name, uint64(r.replay.Position)+1, pageBlocks)
		if err != nil {
			return err
		}
		if len(blocks) == 0 {
			return nil
		}
		messages, last, err := r.read(ctx, blocks)
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(messages, r.chunk()) {
			if err := r.publish(ctx, chunk); err != nil {
				return err
			}
		}
		if len(r.gone) > 0 {
			if err := r.DB.DecideEvents(ctx, r.gone); err != nil {
				return err
			}
			r.gone = r.gone[:0]
		}
		if err := r.advance(ctx, last, 0); err != nil {
			return err
		}
	}
}

// chunk is how many events are published at once: never more than a second's
// worth.
func (r *run) chunk() int {
	if r.replay.Rate > 0 {
		return max(1, min(r.pace.chunk, int(r.replay.Rate)))
	}
	return r.pace.chunk
}

// read returns the messages of the blocks' events, in order, and the last of their
// positions. Events that are not there any more go to r.gone.
func (r *run) read(ctx context.Context, blocks []postgres.Block) (messages []Message, last uint64, err error) {
	wanted := make(map[uint64]bool)
	var order []uint64
	for _, b := range blocks {
		for position := range b.All() {
			order = append(order, position)
			wanted[position] = true
		}
	}
	first, last := order[0], order[len(order)-1]
	found := make(map[uint64]Message, len(order))
	if r.replay.Stream == "" {
		made, err := r.DB.MadeEvents(ctx, r.replay.Name, first, last)
		if err != nil {
			return nil, 0, err
		}
		for position, key := range made {
			e := Event{Sequence: position, Kind: KindCreated, Bucket: r.BucketName, Keys: []string{key}}
			if id, ok := schema.DocumentID(key); ok {
				e.Document = &id
			}
			if m, ok := e.message(r.replay.Target, r.replay.Name); ok {
				found[position] = m
			}
		}
	} else {
		for stored, err := range r.Conn.Read(ctx, nats.Range{Stream: r.replay.Stream, After: first - 1, Through: last}) {
			if err != nil {
				return nil, 0, err
			}
			if !wanted[stored.Sequence] {
				continue
			}
			if m, ok := decode(stored).message(r.replay.Target, r.replay.Name); ok {
				found[stored.Sequence] = m
			}
		}
	}
	for _, position := range order {
		if m, ok := found[position]; ok {
			messages = append(messages, m)
		} else {
			r.gone = append(r.gone, postgres.Decided{Replay: r.replay.Name, Position: position, Outcome: postgres.Failed})
		}
	}
	return messages, last, nil
}

// publish publishes messages when their turn comes.
func (r *run) publish(ctx context.Context, messages []Message) error {
	if err := r.turn(ctx, uint64(len(messages))); err != nil {
		return err
	}
	all := make([]nats.Publication, len(messages))
	for i, m := range messages {
		data, err := json.Marshal(m)
		if err != nil {
			return fmt.Errorf("encode event %d: %w", m.Position, err)
		}
		all[i] = nats.Publication{Subject: r.subject(), ID: fmt.Sprintf("%s:%d:%d", r.replay.Name, r.round, m.Position), Data: data}
	}
	if err := r.Conn.Replay(ctx, all); err != nil {
		return err
	}
	r.sent += len(messages)
	return r.advance(ctx, messages[len(messages)-1].Position, len(messages))
}

// advance notes the position, and stops the run where somebody wants it so.
func (r *run) advance(ctx context.Context, position uint64, more int) error {
	status, err := r.DB.AdvanceReplay(ctx, r.replay.Name, position, more)
	if err != nil {
		return err
	}
	r.replay.Position = int64(position)
	r.looked = time.Now()
	if status != postgres.ReplayRunning {
		return errStopped
	}
	return r.show(ctx)
}

// turn waits until n more events may be published: by the rate, by how many are
// out, and by how many live ones wait.
func (r *run) turn(ctx context.Context, n uint64) error {
	target := r.replay.Target
	stream, _ := Source(target)
	defer func() { r.waiting = "" }()
	for {
		r.waiting = ""
		if r.replay.Rate > 0 {
			if due := r.began.Add(time.Duration(float64(r.sent) / r.replay.Rate * float64(time.Second))); time.Now().Before(due) {
				r.waiting = "the rate"
			}
		}
		if r.waiting == "" {
			live, err := r.Conn.Lag(ctx, stream, target)
			if err != nil {
				return err
			}
			behind := live.Waiting
			if target == Confirm { // what classify has in hand may wait for an AI that is away
				behind += live.InHand
			}
			if behind > r.MaxLag {
				r.waiting = fmt.Sprintf("%d live events", behind)
			}
		}
		if r.waiting == "" {
			out, err := r.Conn.Lag(ctx, schema.StreamReplay, target)
			if err != nil {
				return err
			}
			if out.Waiting+out.InHand+n <= r.pace.window {
				return nil
			}
			r.waiting = "the consumer"
		}
		if err := r.pause(ctx); err != nil {
			return err
		}
	}
}

// pause waits a moment, and looks now and then whether it is to go on.
func (r *run) pause(ctx context.Context) error {
	timer := time.NewTimer(waitStep)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	if time.Since(r.looked) < lookStep {
		return nil
	}
	return r.advance(ctx, uint64(r.replay.Position), 0)
}

// show tells the progress, and drops what the consumer is through with from the
// stream: that of a million events would fill it.
func (r *run) show(ctx context.Context) error {
	if time.Since(r.shown) < lookStep {
		return nil
	}
	r.shown = time.Now()
	lag, err := r.Conn.Lag(ctx, schema.StreamReplay, r.replay.Target)
	if err != nil {
		return err
	}
	if lag.Floor > 0 {
		if err := r.Conn.PurgeReplay(ctx, r.subject(), lag.Floor); err != nil {
			return err
		}
	}
	if r.Progress == nil {
		return nil
	}
	now, err := r.DB.Replay(ctx, r.replay.Name)
	if err == nil {
		r.Progress(now, r.waiting)
	}
	return err
}

// settle waits for the outcomes of what was published, and says whether some of it
// got lost: nobody has it, and it has none.
func (r *run) settle(ctx context.Context) (left bool, err error) {
	r.waiting = "the consumer"
	for {
		// The consumer is asked first: an outcome is noted before its acknowledgment.
		idle, err := r.Conn.Idle(ctx, schema.StreamReplay, r.replay.Target)
		if err != nil {
			return false, err
		}
		undecided, err := r.DB.UndecidedEvents(ctx, r.replay.Name, 0, 2)
		if err != nil {
			return false, err
		}
		if len(undecided) == 0 {
			return false, nil
		}
		if idle {
			return true, nil
		}
		if err := r.pause(ctx); err != nil {
			return false, err
		}
	}
}
