package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// The statuses of a replay.
const (
	ReplayPlanning = "planning" // its events are being chosen; nothing is published
	ReplayRunning  = "running"  // its events are published, or wait for whoever was doing it to go on
	ReplayPaused   = "paused"   // somebody asked to stop for now
	ReplayCanceled = "canceled" // somebody asked to stop for good
	ReplayDone     = "done"     // every event came to an end
)

// A Replay is events that an operator has one consumer handle again.
type Replay struct {
	Name   string `db:"name"`
	Actor  string `db:"actor"`
	Reason string `db:"reason"`
	Target string `db:"target"` // the consumer
	Status string `db:"status"`
	// Selection is how the events were chosen, as the one who made it wrote it.
	Selection json.RawMessage `db:"selection"`
	// Stream is where the events are read; empty where they are made from the bucket. StreamCreated is when it was made.
	Stream        string     `db:"stream"`
	StreamCreated *time.Time `db:"stream_created"`
	Rate          float64    `db:"rate"` // events a second at most; 0: no bound
	// Matched events were chosen. Each ends as one of the three below it.
	Matched   int64 `db:"matched"`
	Applied   int64 `db:"applied"`
	Unchanged int64 `db:"unchanged"`
	Failed    int64 `db:"failed"`
	Published int64 `db:"published"`
	// Position is that of the last event published.
	Position  int64      `db:"position"`
	CreatedAt time.Time  `db:"created_at"`
	StartedAt *time.Time `db:"started_at"`
	EndedAt   *time.Time `db:"ended_at"`
	// LastOutcomeAt is when the last event came to its end.
	LastOutcomeAt *time.Time `db:"last_outcome_at"`
	// HasPublisher says that somebody is publishing its events at this moment.
	HasPublisher bool `db:"attended"`
}

// Remaining is how many events have not come to an end.
func (r Replay) Remaining() int64 { return r.Matched - r.Applied - r.Unchanged - r.Failed }

// ReplayLockName is the name of the lock (TryLock) that whoever publishes a replay's events holds.
func ReplayLockName(name string) string { return "replay " + name }

const selectReplays = `
	SELECT r.name, r.actor, r.reason, r.target, r.status, r.selection, r.stream, r.stream_created, r.rate, r.matched, r.published, r.position,
		r.created_at, r.started_at, r.ended_at,
		coalesce(b.applied, r.applied) AS applied, coalesce(b.unchanged, r.unchanged) AS unchanged,
		coalesce(b.failed, r.failed) AS failed, coalesce(b.last_outcome_at, r.last_outcome_at) AS last_outcome_at,
		EXISTS (SELECT FROM pg_locks AS l WHERE l.locktype = 'advisory' AND l.objsubid = 1
			AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended('replay ' || r.name, 0)) AS attended
	FROM replays AS r
	LEFT JOIN LATERAL (
		SELECT sum(bit_count(applied))::bigint AS applied, sum(bit_count(unchanged))::bigint AS unchanged,
			sum(bit_count(failed))::bigint AS failed, max(last_outcome_at) AS last_outcome_at
		FROM replay_blocks WHERE replay = r.name AND r.ended_at IS NULL) AS b ON true `

// Replay returns the replay of that name. It fails with schema.CodeNotFound.
func (db *DB) Replay(ctx context.Context, name string) (r Replay, err error) {
	err = db.pool.GetContext(ctx, &r, selectReplays+`WHERE r.name = $1`, name)
	if errors.Is(err, sql.ErrNoRows) {
		return r, schema.Errorf(schema.CodeNotFound, "There is no replay %q.", name)
	}
	return r, wrap(ctx, err, "read replay %s", name)
}

// Replays returns replays, the newest first; at most limit.
func (db *DB) Replays(ctx context.Context, limit int) (all []Replay, err error) {
	err = db.pool.SelectContext(ctx, &all, selectReplays+`ORDER BY r.created_at DESC LIMIT $1`, limit)
	return all, wrap(ctx, err, "list replays")
}

// ReplayRate is how many events a second the replays to the target that are done came to, 0 if there are none.
func (db *DB) ReplayRate(ctx context.Context, target string) (pace float64, err error) {
	err = db.pool.GetContext(ctx, &pace, `
		SELECT coalesce(sum(matched) / nullif(sum(extract(epoch FROM ended_at - started_at)), 0), 0)::float8
		FROM (SELECT matched, ended_at, started_at FROM replays WHERE target = $1 AND status = 'done' AND rate = 0 AND matched >= 100
			ORDER BY created_at DESC LIMIT 10) AS r`, target)
	return pace, wrap(ctx, err, "read the pace of replays")
}

// CreateReplay stores a replay whose events are yet to be chosen. It fails with schema.CodeNameTaken.
func (db *DB) CreateReplay(ctx context.Context, r Replay) error {
	_, err := db.pool.ExecContext(ctx, `
		INSERT INTO replays (name, actor, reason, selection, target, status, stream, stream_created, rate)
		VALUES ($1, $2, $3, $4, $5, 'planning', $6, $7, $8)`,
		r.Name, r.Actor, r.Reason, string(r.Selection), r.Target, r.Stream, r.StreamCreated, r.Rate)
	if hasCode(err, uniqueViolation) {
		return schema.Errorf(schema.CodeNameTaken, "There is already a replay %q. Choose another name.", r.Name)
	}
	return wrap(ctx, err, "store replay %s", r.Name)
}

// DeletePlannedReplay deletes a replay that is still being planned.
func (db *DB) DeletePlannedReplay(ctx context.Context, name string) error {
	_, err := db.pool.ExecContext(ctx, `DELETE FROM replays WHERE name = $1 AND status = 'planning'`, name)
	return wrap(ctx, err, "forget replay %s", name)
}

// StartReplay makes a planned replay run, with the events that were chosen for it. Where another one of the same target,
// running or paused, has chosen some of the same events, nothing is changed and that one's name is returned. Replays of
// made events are of the same events if both are.
func (db *DB) StartReplay(ctx context.Context, name string) (other string, err error) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		var r struct {
			Target string `db:"target"`
			Stream string `db:"stream"`
		}
		if err := tx.GetContext(ctx, &r, `SELECT target, stream FROM replays WHERE name = $1 AND status = 'planning'`, name); err != nil {
			return err
		}
		// Two that start at the same moment must see each other.
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('replays to ' || $1, 0))`, r.Target); err != nil {
			return err
		}
		err := tx.GetContext(ctx, &other, `
			SELECT r.name FROM replays AS r
			WHERE r.target = $2 AND r.status IN ('running', 'paused') AND r.stream = $3 AND (r.stream = '' OR EXISTS (
				SELECT FROM replay_blocks AS mine JOIN replay_blocks AS theirs ON theirs.replay = r.name AND theirs.block = mine.block
				WHERE mine.replay = $1 AND bit_count(mine.selected & theirs.selected) > 0))
			ORDER BY r.name LIMIT 1`, name, r.Target, r.Stream)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE replays SET status = 'running', started_at = now(),
			matched = (SELECT coalesce(sum(bit_count(selected)), 0) FROM replay_blocks WHERE replay = $1) WHERE name = $1`, name)
		return err
	})
	return other, wrap(ctx, err, "start replay %s", name)
}

// RecordReplayProgress notes that events up to the position are published, so many more than before, and returns the replay's
// status, which somebody may have changed.
func (db *DB) RecordReplayProgress(ctx context.Context, name string, position uint64, more int) (status string, err error) {
	err = db.pool.GetContext(ctx, &status, `UPDATE replays SET position = $2, published = published + $3 WHERE name = $1 RETURNING status`,
		name, int64(position), more)
	return status, wrap(ctx, err, "advance replay %s", name)
}

// SetReplayStatus changes a replay's status from running or paused to status, and reports whether it
// did.
func (db *DB) SetReplayStatus(ctx context.Context, name, status string) (bool, error) {
	result, err := db.pool.ExecContext(ctx, `UPDATE replays SET status = $2 WHERE name = $1 AND status IN ('running', 'paused')`, name, status)
	if err != nil {
		return false, wrap(ctx, err, "turn replay %s to %s", name, status)
	}
	n, err := result.RowsAffected()
	return n == 1, wrap(ctx, err, "turn replay %s to %s", name, status)
}

// EndReplay ends a replay that is not done or canceled yet: its counts are kept, the events it had chosen forgotten.
func (db *DB) EndReplay(ctx context.Context, name, status string) error {
	err := db.inTransaction(ctx, func(tx *tx) error {
		_, err := tx.ExecContext(ctx, `
			UPDATE replays AS r SET status = $2, ended_at = now(), applied = s.applied, unchanged = s.unchanged, failed = s.failed, last_outcome_at = s.last_outcome_at
			FROM (SELECT coalesce(sum(bit_count(applied)), 0) AS applied, coalesce(sum(bit_count(unchanged)), 0) AS unchanged,
					coalesce(sum(bit_count(failed)), 0) AS failed, max(last_outcome_at) AS last_outcome_at
				FROM (SELECT * FROM replay_blocks WHERE replay = $1 ORDER BY block FOR NO KEY UPDATE) AS b) AS s
			WHERE r.name = $1 AND r.ended_at IS NULL`, name, status)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM replay_generated_events WHERE replay = $1`, name); err != nil {
			return err
		}
		// What became of each event is kept as long as the streams keep the events, for the stories of documents.
		_, err = tx.ExecContext(ctx, `DELETE FROM replay_blocks WHERE replay IN (
			SELECT name FROM replays WHERE (name = $1 AND stream = '') OR ended_at < now() - make_interval(secs => $2))`, name, attemptRetention.Seconds())
		return err
	})
	return wrap(ctx, err, "end replay %s", name)
}

// HasDocumentsBefore reports whether a document was made before the time.
func (db *DB) HasDocumentsBefore(ctx context.Context, t time.Time) (has bool, err error) {
	err = db.pool.GetContext(ctx, &has, `SELECT EXISTS (SELECT FROM documents WHERE created_at < $1)`, t)
	return has, wrap(ctx, err, "find a document made before %s", t.Format(time.RFC3339))
}

// DocumentTopics returns the topics of a document.
func (db *DB) DocumentTopics(ctx context.Context, id uuid.UUID) ([]schema.DocumentTopic, error) {
	var rows []struct {
		TopicID    uuid.UUID `db:"topic_id"`
		Confidence int       `db:"confidence"`
	}
	err := db.pool.SelectContext(ctx, &rows, `SELECT t.topic_id, t.confidence FROM documents AS d
		JOIN document_topics AS t ON t.user_id = d.user_id AND t.document_id = d.id WHERE d.id = $1 ORDER BY t.topic_id`, id)
	topics := make([]schema.DocumentTopic, len(rows))
	for i, r := range rows {
		topics[i] = schema.DocumentTopic{TopicID: r.TopicID, Confidence: r.Confidence}
	}
	return topics, wrap(ctx, err, "read the topics of document %s", id)
}

// DocumentStates returns what a consumer can change of documents, to be compared with what it is later. By id as
// text it is the version, which classify raises; by object key what confirm decides, which classify leaves as it is.
func (db *DB) DocumentStates(ctx context.Context, ids []uuid.UUID, keys []string) (map[string]string, error) {
	var rows []struct {
		Ref   string `db:"ref"`
		State string `db:"state"`
	}
	err := db.pool.SelectContext(ctx, &rows, `
		SELECT id::text AS ref, version::text AS state FROM documents WHERE `+anyOf("id", "$1::uuid[]", len(ids))+`
		UNION ALL SELECT object_key, etag || ' ' || CASE WHEN status IN ('uploaded', 'classified', 'failed') THEN 'counted' ELSE status END
		FROM documents WHERE `+anyOf("object_key", "$2::text[]", len(keys)), array(ids), array(keys))
	if err != nil {
		return nil, wrap(ctx, err, "read the states of %d documents", len(ids)+len(keys))
	}
	states := make(map[string]string, len(rows))
	for _, r := range rows {
		states[r.Ref] = r.State
	}
	return states, nil
}

// A DocumentFact is what an operator is told about the document of an event.
type DocumentInfo struct {
	ID        uuid.UUID     `db:"id"`
	ObjectKey string        `db:"object_key"`
	UserID    uuid.NullUUID `db:"user_id"`
	Email     string        `db:"email"`
	// Status is "gone" where only the deletion of its object is known still.
	Status string `db:"status"`
	Reason string `db:"reason"`
}

// DocumentInfos returns what is known of documents by their ids and of objects by their keys, those that are gone
// included while their deletion is remembered. The role is the owner.
func (db *DB) DocumentInfos(ctx context.Context, ids []uuid.UUID, keys []string) (facts []DocumentInfo, err error) {
	err = db.pool.SelectContext(ctx, &facts, `
		WITH known AS (
			SELECT id, object_key, user_id, status, reason, gone_at FROM documents WHERE `+anyOf("id", "$1::uuid[]", len(ids))+`
			UNION SELECT id, object_key, user_id, status, reason, gone_at FROM documents WHERE `+anyOf("object_key", "$2::text[]", len(keys))+`),
		deleted AS (
			SELECT document_id AS id, object_key, user_id FROM object_deletions
			WHERE `+anyOf("object_key", "$2::text[]", len(keys))+` AND document_id IS NOT NULL AND object_key NOT IN (SELECT object_key FROM known))
		SELECT k.id, k.object_key, k.user_id, u.email, CASE WHEN k.gone_at IS NULL THEN k.status ELSE 'gone' END AS status, k.reason
		FROM known AS k JOIN users AS u ON u.id = k.user_id
		UNION ALL
		SELECT d.id, d.object_key, d.user_id, coalesce(u.email, ''), 'gone', ''
		FROM deleted AS d LEFT JOIN users AS u ON u.id = d.user_id`, array(ids), array(keys))
	return facts, wrap(ctx, err, "read what is known of %d documents", len(ids)+len(keys))
}

// DeadLetterSequences returns those of the sequences of a stream whose messages are dead letters of the consumer.
func (db *DB) DeadLetterSequences(ctx context.Context, stream, consumer string, sequences []uint64) (map[uint64]bool, error) {
	wanted := make([]int64, len(sequences))
	for i, s := range sequences {
		wanted[i] = int64(s)
	}
	var rows []int64
	err := db.pool.SelectContext(ctx, &rows, `SELECT sequence FROM dead_letters
		WHERE stream = $1 AND `+anyOf("sequence", "$2::bigint[]", len(wanted))+` AND consumer = $3`, stream, array(wanted), consumer)
	dead := make(map[uint64]bool, len(rows))
	for _, s := range rows {
		dead[uint64(s)] = true
	}
	return dead, wrap(ctx, err, "find dead letters of %s", stream)
}

// Deletion returns what is recorded about deleting the object at a key; false if nothing is.
func (db *DB) Deletion(ctx context.Context, key string) (d Deletion, deletedAt *time.Time, ok bool, err error) {
	var row struct {
		Deletion
		DeletedAt *time.Time `db:"deleted_at"`
	}
	err = db.pool.GetContext(ctx, &row, `SELECT object_key, document_id, user_id, requested_at, attempts, next_attempt_at, last_error, deleted_at
		FROM object_deletions WHERE object_key = $1`, key)
	if errors.Is(err, sql.ErrNoRows) {
		return Deletion{}, nil, false, nil
	}
	return row.Deletion, row.DeletedAt, err == nil, wrap(ctx, err, "read the deletion of object %s", key)
}

// DocumentByID returns a document in every status, one whose row is about to end included. It fails with
// schema.CodeNotFound.
func (db *DB) DocumentByID(ctx context.Context, id uuid.UUID) (schema.Document, error) {
	docs, err := db.selectDocuments(ctx, fmt.Sprintf("read document %s", id), `WHERE id = $1`, id)
	if err == nil && len(docs) == 0 {
		return schema.Document{}, schema.Errorf(schema.CodeNotFound, "There is no document %s.", id)
	}
	if err != nil {
		return schema.Document{}, err
	}
	return docs[0], nil
}
