package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

// Runner publishes the events of replays that were started, and waits for their
// outcomes. Any process may resume what another left.
type Runner struct {
	Archive
	// MaxLag is how many live messages may wait for the target's own consumer while
	// replayed ones are published; default 200.
	MaxLag uint64
	// Progress, if not nil, is called about once a second with the replay as it stands,
	// and with what it waits for, empty if for nothing.
	Progress func(r postgres.Replay, waiting string)
}

// ErrAttended means that another process is publishing the replay's events.
var ErrAttended = errors.New("another process is at this replay")

// ErrOver means that a replay cannot go on, now or later.
var ErrOver = errors.New("it does not go on")

// defaultLag is Runner.MaxLag's default: a second's worth of a small burst.
const defaultLag = 200

// Run runs a started replay, or resumes one that was paused or whose process died,
// until it is done, paused or canceled, and returns it as it then is. It fails with
// ErrAttended where another process runs the replay, with ErrOver where it cannot be
// resumed, and with any other error where it can.
func (r Runner) Run(ctx context.Context, name string) (postgres.Replay, error) {
	release, ok, err := r.DB.TryLock(ctx, postgres.ReplayLockName(name))
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
		return replay, fmt.Errorf("%w: replay %s ended before it began, while its events were chosen;"+
			" cancel it and make it anew", ErrOver, name)
	default:
		return replay, fmt.Errorf("%w: replay %s is %s", ErrOver, name, replay.Status)
	}
	if err := r.sameStream(ctx, replay); err != nil {
		return replay, err
	}
	if _, err := r.DB.SetReplayStatus(ctx, name, postgres.ReplayRunning); err != nil {
		return replay, err
	}
	run := &run{Runner: r, replay: replay, pace: paces[replay.Target], began: time.Now()}
	run.MaxLag = cmp.Or(r.MaxLag, defaultLag)
	if err := run.complete(ctx); err != nil && !errors.Is(err, errStopped) {
		return run.replay, err
	}
	ended, err := r.DB.Replay(context.WithoutCancel(ctx), name)
	ended.HasPublisher = false // by this run, which is over
	return ended, err
}

// Cancel ends a replay for good: events that were not delivered yet never are.
func (r Runner) Cancel(ctx context.Context, name string) (postgres.Replay, error) {
	replay, err := r.DB.Replay(ctx, name)
	if err != nil {
		return replay, err
	}
	if replay.EndedAt != nil {
		return replay, fmt.Errorf("replay %s is %s already", name, replay.Status)
	}
	if _, err := r.DB.SetReplayStatus(ctx, name, postgres.ReplayCanceled); err != nil { // its runner stops
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

// sameStream fails where the stream was made anew since the replay was planned: its
// sequences then mean other events.
func (r Runner) sameStream(ctx context.Context, replay postgres.Replay) error {
	if replay.Stream == "" {
		return nil
	}
	state, err := r.Conn.State(ctx, replay.Stream)
	if err != nil {
		return err
	}
	if replay.StreamCreated != nil && !replay.StreamCreated.Equal(state.Created) {
		return fmt.Errorf("%w: the stream %s was made anew since replay %s was planned:"+
			" its events are gone; cancel it",
			ErrOver, replay.Stream, replay.Name)
	}
	return nil
}

// errStopped means that somebody paused or canceled the replay.
var errStopped = errors.New("stopped")

// run is one run of a replay.
type run struct {
	Runner
	replay postgres.Replay
	pace   pace
	// round counts the passes over the events: an event that got lost is published
	// again under another message id.
	round     int
	began     time.Time
	published int // in this run
	reported  time.Time
	advanced  time.Time
	waiting   string // for what; empty: for nothing
	// lost are chosen events that the stream does not hold any more.
	lost []postgres.EventOutcome
}

// complete publishes the undecided events and awaits their outcomes, and does so
// again for what got lost on the way.
func (r *run) complete(ctx context.Context) error {
	for {
		if err := r.publishUndecided(ctx); err != nil {
			return err
		}
		left, err := r.awaitOutcomes(ctx)
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

// advance stores the position and how many more events were published, and stops the
// run where somebody paused or canceled the replay.
func (r *run) advance(ctx context.Context, position uint64, more int) error {
	status, err := r.DB.RecordReplayProgress(ctx, r.replay.Name, position, more)
	if err != nil {
		return err
	}
	r.replay.Position = int64(position)
	r.advanced = time.Now()
	if status != postgres.ReplayRunning {
		return errStopped
	}
	return r.report(ctx)
}

// report reports the progress about once a second, and purges what the consumer has
// handled from the stream, which a million events would fill.
func (r *run) report(ctx context.Context) error {
	if time.Since(r.reported) < reportInterval {
		return nil
	}
	r.reported = time.Now()
	lag, err := r.Conn.Lag(ctx, schema.StreamReplay, r.replay.Target)
	if err != nil {
		return err
	}
	if lag.AckFloor > 0 {
		if err := r.Conn.PurgeReplay(ctx, r.subject(), lag.AckFloor); err != nil {
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

// awaitOutcomes waits for the outcomes of what was published. It reports whether some
// of it got lost: it has no outcome, and the consumer has nothing left.
func (r *run) awaitOutcomes(ctx context.Context) (left bool, err error) {
	r.waiting = "the consumer"
	for {
		// The consumer is asked first: an outcome is stored before its message is acked.
		idle, err := r.Conn.Idle(ctx, schema.StreamReplay, r.replay.Target)
		if err != nil {
			return false, err
		}
		undecided, err := r.DB.UnfinishedEvents(ctx, r.replay.Name, 0, 2)
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
