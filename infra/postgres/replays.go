package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"intray/schema"
)

// The statuses of a replay.
const (
	ReplayPlanning = "planning" // its events are being selected; none is published yet
	ReplayRunning  = "running"  // its events are being published, unless the publisher was interrupted
	ReplayPaused   = "paused"   // an operator paused it; it can be resumed
	ReplayCanceled = "canceled" // an operator canceled it
	ReplayDone     = "done"     // every event has an outcome
)

// A Replay is a second delivery of events to one consumer, requested by an operator.
type Replay struct {
	Name   string `db:"name"`
	Actor  string `db:"actor"`
	Reason string `db:"reason"`
	Target string `db:"target"` // the consumer
	Status string `db:"status"`
	// Selection describes how the events were selected. Its format is up to the caller of
	// CreateReplay.
	Selection json.RawMessage `db:"selection"`
	// Stream is the stream that the events are read from, and StreamCreated when it was created.
	// Stream is empty if the events are generated from the bucket.
	Stream        string     `db:"stream"`
	StreamCreated *time.Time `db:"stream_created"`
	Rate          float64    `db:"rate"` // the largest number of events per second; 0 means no limit
	// Matched is the number of selected events. Applied, Unchanged and Failed are the numbers of those
	// that have the outcome.
	Matched   int64 `db:"matched"`
	Applied   int64 `db:"applied"`
	Unchanged int64 `db:"unchanged"`
	Failed    int64 `db:"failed"`
	Published int64 `db:"published"`
	// Position is the position of the last event that was published.
	Position  int64      `db:"position"`
	CreatedAt time.Time  `db:"created_at"`
	StartedAt *time.Time `db:"started_at"`
	EndedAt   *time.Time `db:"ended_at"`
	// LastOutcomeAt is when the last outcome was recorded.
	LastOutcomeAt *time.Time `db:"last_outcome_at"`
	// HasPublisher reports whether a process is publishing the replay's events now.
	HasPublisher bool `db:"has_publisher"`
}

// Remaining returns the number of events without an outcome.
func (r Replay) Remaining() int64 { return r.Matched - r.Applied - r.Unchanged - r.Failed }

const selectReplays = `
	SELECT r.name, r.actor, r.reason, r.target, r.status, r.selection, r.stream, r.stream_created,
		r.rate, r.matched, r.published, r.position, r.created_at, r.started_at, r.ended_at,
		coalesce(b.applied, r.applied) AS applied, coalesce(b.unchanged, r.unchanged) AS unchanged,
		coalesce(b.failed, r.failed) AS failed,
		coalesce(b.last_outcome_at, r.last_outcome_at) AS last_outcome_at,
		EXISTS (SELECT FROM leases WHERE name = 'replay ' || r.name AND expires_at > now())
			AS has_publisher
	FROM replays AS r
	LEFT JOIN LATERAL (
		SELECT sum(bit_count(applied))::bigint AS applied, sum(bit_count(unchanged))::bigint AS unchanged,
			sum(bit_count(failed))::bigint AS failed, max(last_outcome_at) AS last_outcome_at
		FROM replay_blocks WHERE replay = r.name AND r.ended_at IS NULL) AS b ON true `

// Replay returns the replay with the name. It fails with schema.CodeNotFound.
func (db *DB) Replay(ctx context.Context, name string) (r Replay, err error) {
	err = db.pool.GetContext(ctx, &r, selectReplays+`WHERE r.name = $1`, name)
	if errors.Is(err, sql.ErrNoRows) {
		return r, schema.Errorf(schema.CodeNotFound, "There is no replay %q.", name)
	}
	return r, wrap(ctx, err, "read replay %s", name)
}

// Replays returns up to limit replays, newest first.
func (db *DB) Replays(ctx context.Context, limit int) (replays []Replay, err error) {
	err = db.pool.SelectContext(ctx, &replays,
		selectReplays+`ORDER BY r.created_at DESC LIMIT $1`, limit)
	return replays, wrap(ctx, err, "list replays")
}

// ReplayRate returns the average number of events per second of the last ten replays to the target
// that are done, have no rate limit and at least 100 events. It returns 0 if there are none.
func (db *DB) ReplayRate(ctx context.Context, target string) (rate float64, err error) {
	// For an equality, the planner could scan replays_newest until ten replays match.
	err = db.pool.GetContext(ctx, &rate, `
		SELECT coalesce(
			sum(matched) / nullif(sum(extract(epoch FROM ended_at - started_at)), 0), 0)::float8
		FROM (
			SELECT matched, ended_at, started_at FROM replays
			WHERE target >= $1 AND target <= $1 AND status = 'done' AND rate = 0 AND matched >= 100
			ORDER BY target DESC, created_at DESC LIMIT 10) AS r`, target)
	return rate, wrap(ctx, err, "read the rate of replays to %s", target)
}

// CreateReplay stores a replay whose events are not selected yet. It fails with
// schema.CodeNameTaken.
func (db *DB) CreateReplay(ctx context.Context, r Replay) error {
	_, err := db.pool.ExecContext(ctx, `
		INSERT INTO replays
			(name, actor, reason, selection, target, status, stream, stream_created, rate)
		VALUES ($1, $2, $3, $4, $5, 'planning', $6, $7, $8)`,
		r.Name, r.Actor, r.Reason, string(r.Selection), r.Target, r.Stream, r.StreamCreated, r.Rate)
	if hasCode(err, uniqueViolation) {
		return schema.Errorf(schema.CodeNameTaken,
			"There is already a replay %q. Choose another name.", r.Name)
	}
	return wrap(ctx, err, "store replay %s", r.Name)
}

// DeletePlannedReplay deletes a replay that is still being planned.
func (db *DB) DeletePlannedReplay(ctx context.Context, name string) error {
	err := func() error {
		var planned bool
		err := db.pool.GetContext(ctx, &planned, `
			SELECT EXISTS (SELECT FROM replays WHERE name = $1 AND status = 'planning')`, name)
		if err != nil || !planned {
			return err
		}
		if err := db.deleteReplayEvents(ctx, name); err != nil {
			return err
		}
		_, err = db.pool.ExecContext(ctx,
			`DELETE FROM replays WHERE name = $1 AND status = 'planning'`, name)
		return err
	}()
	return wrap(ctx, err, "delete replay %s", name)
}

// deleteReplayEvents deletes the blocks and the generated events of a replay.
func (db *DB) deleteReplayEvents(ctx context.Context, name string) error {
	for _, statement := range []string{
		`DELETE FROM replay_generated_events WHERE replay = $1 AND ctid = ANY(ARRAY(
			SELECT ctid FROM replay_generated_events WHERE replay = $1 ORDER BY position LIMIT $2))`,
		`DELETE FROM replay_blocks WHERE replay = $1 AND ctid = ANY(ARRAY(
			SELECT ctid FROM replay_blocks WHERE replay = $1 ORDER BY block LIMIT $2))`,
	} {
		for _, err := range db.deleteInBatches(ctx, "delete events", rangeRows, statement, name) {
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// StartReplay changes the status of a planned replay to running. If another running or paused
// replay to the same target has selected some of the same events, StartReplay changes nothing and
// returns the name of that replay. Two replays of generated events always count as overlapping.
func (db *DB) StartReplay(ctx context.Context, name string) (other string, err error) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		var r struct {
			Target string `db:"target"`
			Stream string `db:"stream"`
		}
		if err := tx.GetContext(ctx, &r, `
			SELECT target, stream FROM replays WHERE name = $1 AND status = 'planning'`,
			name); err != nil {
			return err
		}
		// The lock lets replays to the same target start one after the other, so that each sees the
		// others.
		if _, err := tx.ExecContext(ctx, `
			SELECT pg_advisory_xact_lock(hashtextextended('replays to ' || $1, 0))`,
			r.Target); err != nil {
			return err
		}
		err := tx.GetContext(ctx, &other, `
			SELECT r.name FROM replays AS r
			WHERE r.target = $2 AND r.status IN ('running', 'paused') AND r.stream = $3
				AND (r.stream = '' OR EXISTS (
					SELECT FROM replay_blocks AS own
					JOIN replay_blocks AS others ON others.replay = r.name AND others.block = own.block
					WHERE own.replay = $1 AND bit_count(own.selected & others.selected) > 0))
			ORDER BY r.name LIMIT 1`, name, r.Target, r.Stream)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		_, err = tx.ExecContext(ctx, `
			UPDATE replays SET status = 'running', started_at = now(), matched = (
				SELECT coalesce(sum(bit_count(selected)), 0) FROM replay_blocks WHERE replay = $1)
			WHERE name = $1`, name)
		return err
	})
	return other, wrap(ctx, err, "start replay %s", name)
}

// RecordReplayProgress records that n more events, up to the position, are published. It returns
// the replay's status, which an operator may have changed.
func (db *DB) RecordReplayProgress(
	ctx context.Context, name string, position uint64, n int,
) (status string, err error) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		return tx.GetContext(ctx, &status, `
			UPDATE replays SET position = $2, published = published + $3
			WHERE name = $1 RETURNING status`, name, int64(position), n)
	})
	return status, wrap(ctx, err, "record the progress of replay %s", name)
}

// SetReplayStatus sets the status of a replay that is running or paused, and reports whether it did
// so.
func (db *DB) SetReplayStatus(ctx context.Context, name, status string) (bool, error) {
	result, err := db.exec(ctx, `
		UPDATE replays SET status = $2 WHERE name = $1 AND status IN ('running', 'paused')`,
		name, status)
	if err != nil {
		return false, wrap(ctx, err, "set the status of replay %s to %s", name, status)
	}
	n, err := result.RowsAffected()
	return n == 1, wrap(ctx, err, "set the status of replay %s to %s", name, status)
}

// EndReplay ends a replay that has not ended. It stores the counts of the outcomes, and deletes the
// events that were generated for it and its lease, so that a process that still publishes events
// stops. The blocks of other events are deleted 30 days later.
func (db *DB) EndReplay(ctx context.Context, name, status string) error {
	err := db.inTransaction(ctx, func(tx *tx) error {
		_, err := tx.ExecContext(ctx, `
			UPDATE replays AS r SET status = $2, ended_at = now(), applied = s.applied,
				unchanged = s.unchanged, failed = s.failed, last_outcome_at = s.last_outcome_at
			FROM (
				SELECT coalesce(sum(bit_count(applied)), 0) AS applied,
					coalesce(sum(bit_count(unchanged)), 0) AS unchanged,
					coalesce(sum(bit_count(failed)), 0) AS failed,
					max(last_outcome_at) AS last_outcome_at
				FROM (SELECT * FROM replay_blocks WHERE replay = $1
					ORDER BY block FOR NO KEY UPDATE) AS b) AS s
			WHERE r.name = $1 AND r.ended_at IS NULL`, name, status)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM leases WHERE name = $1`, ReplayLease(name))
		return err
	})
	if err == nil {
		err = db.deleteEventsOfEndedReplays(ctx)
	}
	return wrap(ctx, err, "end replay %s", name)
}

// deleteEventsOfEndedReplays deletes the events of replays that have ended. The outcome of each
// event of a stream is stored as long as the streams keep the events, because ReplaysOf returns it.
func (db *DB) deleteEventsOfEndedReplays(ctx context.Context) error {
	var names []string
	err := db.pool.SelectContext(ctx, &names, `
		SELECT name FROM replays
		WHERE ended_at IS NOT NULL AND NOT events_deleted
			AND (stream = '' OR ended_at < now() - make_interval(secs => $1))
		ORDER BY ended_at LIMIT 100`, attemptRetention.Seconds())
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := db.deleteReplayEvents(ctx, name); err != nil {
			return err
		}
		_, err := db.pool.ExecContext(ctx,
			`UPDATE replays SET events_deleted = true WHERE name = $1`, name)
		if err != nil {
			return err
		}
	}
	return nil
}
