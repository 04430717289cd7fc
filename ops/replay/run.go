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

// Runner publishes the events of started replays and waits for their outcomes. Any process can
// resume a replay that another process left unfinished.
type Runner struct {
	Archive
	// MaxLag is the highest number of live messages that may be pending for the target while
	// events are replayed. The default is 200.
	MaxLag uint64
	// Progress, if not nil, is called about once per second with the state of the replay. waitsFor
	// describes what the replay is waiting for, and is empty if it is not waiting.
	Progress func(r postgres.Replay, waitsFor string)
}

// ErrAlreadyRunning means that another process is publishing the events of the replay.
var ErrAlreadyRunning = errors.New("another process is running this replay")

// ErrNotResumable means that a replay can never be resumed.
var ErrNotResumable = errors.New("replay cannot be resumed")

// defaultMaxLag is the default of Runner.MaxLag. A small burst causes about this lag within a
// second.
const defaultMaxLag = 200

// Run runs a started replay, or resumes a replay that was paused or interrupted, until it is
// done, paused or canceled. It returns the state of the replay at the end. Run fails with
// ErrAlreadyRunning if another process runs the replay, and with ErrNotResumable if the replay
// can never be resumed. After any other error the replay can be resumed.
//
// If the process that ran the replay was killed or no longer answers, Run waits until its lease has
// expired. If that process continues later, it fails with postgres.ErrLeaseLost.
func (r Runner) Run(ctx context.Context, name string) (ended postgres.Replay, err error) {
	var other postgres.Lease
	for {
		acquired, err := r.DB.WithLease(ctx, postgres.ReplayLease(name),
			func(ctx context.Context) (err error) {
				ended, err = r.runLeased(ctx, name)
				return err
			})
		if errors.Is(err, postgres.ErrLeaseLost) {
			// Canceling a replay ends its lease.
			if replay, failed := r.DB.Replay(ctx, name); failed == nil && replay.EndedAt != nil {
				ended, err = replay, nil
			}
		}
		if err != nil || acquired {
			ended.HasPublisher = false // the publisher was this run, which has ended
			return ended, err
		}
		if other, err = r.awaitLease(ctx, name, other); err != nil {
			return postgres.Replay{}, err
		}
	}
}

// awaitLease waits for a moment while another process holds the lease of a replay. It returns that
// lease, and ErrAlreadyRunning if the process has extended it since it was seen.
func (r Runner) awaitLease(
	ctx context.Context, name string, seen postgres.Lease,
) (postgres.Lease, error) {
	l, err := r.DB.Lease(ctx, postgres.ReplayLease(name))
	if err != nil {
		return l, err
	}
	if l.Holder == seen.Holder && l.ExpiresAt.After(seen.ExpiresAt) {
		return l, fmt.Errorf("replay %s: %w", name, ErrAlreadyRunning)
	}
	replay, err := r.DB.Replay(ctx, name)
	if err != nil {
		return l, err
	}
	if r.Progress != nil {
		r.Progress(replay, "the process that ran it, "+l.Holder)
	}
	timer := time.NewTimer(reportInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return l, ctx.Err()
	case <-timer.C:
		return l, nil
	}
}

// runLeased runs a replay while this process holds the lease, of which ctx is the context.
func (r Runner) runLeased(ctx context.Context, name string) (postgres.Replay, error) {
	replay, err := r.DB.Replay(ctx, name)
	if err != nil {
		return replay, err
	}
	switch replay.Status {
	case postgres.ReplayRunning, postgres.ReplayPaused:
	case postgres.ReplayPlanning:
		return replay, fmt.Errorf("%w: replay %s was interrupted while its events were selected;"+
			" cancel it and start a new one", ErrNotResumable, name)
	default:
		return replay, fmt.Errorf("%w: replay %s is %s", ErrNotResumable, name, replay.Status)
	}
	if err := r.checkStream(ctx, replay); err != nil {
		return replay, err
	}
	if _, err := r.DB.SetReplayStatus(ctx, name, postgres.ReplayRunning); err != nil {
		return replay, err
	}
	run := &run{
		Runner: r, replay: replay, limits: targetLimits[replay.Target], startedAt: time.Now(),
	}
	run.MaxLag = cmp.Or(r.MaxLag, defaultMaxLag)
	if err := run.complete(ctx); err != nil && !errors.Is(err, errStopped) {
		return run.replay, err
	}
	return r.DB.Replay(context.WithoutCancel(ctx), name)
}

// Cancel ends a replay permanently. Events that have not been delivered never will be.
func (r Runner) Cancel(ctx context.Context, name string) (postgres.Replay, error) {
	replay, err := r.DB.Replay(ctx, name)
	if err != nil {
		return replay, err
	}
	if replay.EndedAt != nil {
		return replay, fmt.Errorf("cancel replay %s: it is already %s", name, replay.Status)
	}
	// The status stops the process that runs the replay.
	if _, err := r.DB.SetReplayStatus(ctx, name, postgres.ReplayCanceled); err != nil {
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

// checkStream fails with ErrNotResumable if the stream was deleted and created again after the
// replay was planned, because the stored sequences then refer to different events.
func (r Runner) checkStream(ctx context.Context, replay postgres.Replay) error {
	if replay.Stream == "" {
		return nil
	}
	state, err := r.Conn.State(ctx, replay.Stream)
	if err != nil {
		return err
	}
	if replay.StreamCreated != nil && !replay.StreamCreated.Equal(state.Created) {
		return fmt.Errorf("%w: stream %s was created again after replay %s was planned,"+
			" and the selected events are lost; cancel the replay",
			ErrNotResumable, replay.Stream, replay.Name)
	}
	return nil
}

// errStopped means that an operator paused or canceled the replay.
var errStopped = errors.New("stopped")

// run is the state of one call to Runner.Run.
type run struct {
	Runner
	replay postgres.Replay
	limits limits
	// round counts the passes over the events. It is part of the message id, so that the
	// stream accepts an event that was lost and is published again.
	round      int
	startedAt  time.Time
	published  int // number of events published in this run
	reportedAt time.Time
	advancedAt time.Time
	waitsFor   string // empty if the run does not wait
	// missing holds the outcomes of selected events that the stream no longer stores.
	missing []postgres.EventOutcome
}

// complete publishes the events that have no outcome and waits for their outcomes. It repeats
// this for events that were lost after they were published.
func (r *run) complete(ctx context.Context) error {
	for {
		if err := r.publishUnfinished(ctx); err != nil {
			return err
		}
		lost, err := r.awaitOutcomes(ctx)
		if err != nil {
			return err
		}
		if !lost {
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

// advance stores the position and adds the number of newly published events. It fails with
// errStopped if the replay was paused or canceled.
func (r *run) advance(ctx context.Context, position uint64, published int) error {
	status, err := r.DB.RecordReplayProgress(ctx, r.replay.Name, position, published)
	if err != nil {
		return err
	}
	r.replay.Position = int64(position)
	r.advancedAt = time.Now()
	if status != postgres.ReplayRunning {
		return errStopped
	}
	return r.report(ctx)
}

// report calls Progress about once per second. It also purges the messages that the consumer
// has handled, because a replay of a million events would otherwise fill the stream.
func (r *run) report(ctx context.Context) error {
	if time.Since(r.reportedAt) < reportInterval {
		return nil
	}
	r.reportedAt = time.Now()
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
		r.Progress(now, r.waitsFor)
	}
	return err
}

// awaitOutcomes waits until each published event has an outcome. It reports whether events were
// lost: they have no outcome although the consumer has no messages left.
func (r *run) awaitOutcomes(ctx context.Context) (lost bool, err error) {
	r.waitsFor = "the consumer"
	for {
		// The consumer is checked before the outcomes, because an outcome is stored before its
		// message is acknowledged.
		idle, err := r.Conn.Idle(ctx, schema.StreamReplay, r.replay.Target)
		if err != nil {
			return false, err
		}
		unfinished, err := r.DB.UnfinishedEvents(ctx, r.replay.Name, 0, 2)
		if err != nil {
			return false, err
		}
		if len(unfinished) == 0 {
			return false, nil
		}
		if idle {
			return true, nil
		}
		if err := r.poll(ctx); err != nil {
			return false, err
		}
	}
}
