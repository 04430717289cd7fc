package postgres

// This file contains the queries of operators' commands about documents and their events.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// HasDocumentsBefore reports whether there is a document that was created before the time,
// according to its id, or a document of the single-user schema.
func (db *DB) HasDocumentsBefore(ctx context.Context, t time.Time) (exists bool, err error) {
	err = db.pool.GetContext(ctx, &exists, `
		SELECT coalesce((SELECT id FROM documents ORDER BY id LIMIT 1) < $1, false)
			OR (SELECT id FROM documents WHERE object_key <> document_object_key(id)
				ORDER BY object_key COLLATE "C" LIMIT 1) IS NOT NULL`,
		schema.FirstID(t))
	return exists, wrap(ctx, err, "find a document created before %s", t.Format(time.RFC3339))
}

// DocumentTopics returns the topics of a document, ordered by the topics' ids.
func (db *DB) DocumentTopics(ctx context.Context, id uuid.UUID) ([]schema.DocumentTopic, error) {
	var rows []struct {
		TopicID    uuid.UUID `db:"topic_id"`
		Confidence int       `db:"confidence"`
	}
	err := db.pool.SelectContext(ctx, &rows, `
		SELECT topic_id, confidence FROM document_topics
		WHERE document_id = $1 ORDER BY topic_id`, id)
	topics := make([]schema.DocumentTopic, len(rows))
	for i, r := range rows {
		topics[i] = schema.DocumentTopic{TopicID: r.TopicID, Confidence: r.Confidence}
	}
	return topics, wrap(ctx, err, "read the topics of document %s", id)
}

// DocumentStates returns the state of documents, so that the caller can compare the states before
// and after a consumer has handled an event. The keys of the map are the ids as text and the object
// keys. The state of an id is the version, which classify increases. The state of an object key is
// the ETag and the status, in which all counted statuses are the same. Confirm changes it, and
// classify does not.
func (db *DB) DocumentStates(
	ctx context.Context, ids []uuid.UUID, keys []string,
) (map[string]string, error) {
	var rows []struct {
		Ref   string `db:"ref"`
		State string `db:"state"`
	}
	err := db.pool.SelectContext(ctx, &rows, `
		SELECT id::text AS ref, version::text AS state
		FROM documents WHERE `+anyOf("id", "$1::uuid[]", len(ids))+`
		UNION ALL
		SELECT object_key, etag || ' ' ||
			CASE WHEN status IN ('uploaded', 'classified', 'failed') THEN 'counted' ELSE status END
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

// A DocumentInfo is the information about the document of an event that operators are shown.
type DocumentInfo struct {
	ID        uuid.UUID     `db:"id"`
	ObjectKey string        `db:"object_key"`
	UserID    uuid.NullUUID `db:"user_id"`
	Email     string        `db:"email"`
	// Status is "gone" if the object is gone, or if there is only an object deletion of the document.
	Status string `db:"status"`
	Reason string `db:"reason"`
}

// DocumentInfos returns information about the documents with the ids or object keys. It includes
// documents that no longer exist if there is an object deletion or a tombstone of their object. It
// requires the owner's role.
func (db *DB) DocumentInfos(
	ctx context.Context, ids []uuid.UUID, keys []string,
) (infos []DocumentInfo, err error) {
	err = db.pool.SelectContext(ctx, &infos, `
		WITH existing AS (
			SELECT id, object_key, user_id, status, reason, gone_at
			FROM documents WHERE `+anyOf("id", "$1::uuid[]", len(ids))+`
			UNION
			SELECT id, object_key, user_id, status, reason, gone_at
			FROM documents WHERE `+anyOf("object_key", "$2::text[]", len(keys))+`),
		deleted AS (
			SELECT document_id AS id, object_key, user_id FROM object_deletions
			WHERE `+anyOf("object_key", "$2::text[]", len(keys))+` AND document_id IS NOT NULL
				AND object_key NOT IN (SELECT object_key FROM existing))
		SELECT e.id, e.object_key, e.user_id, u.email,
			CASE WHEN e.gone_at IS NULL THEN e.status ELSE 'gone' END AS status, e.reason
		FROM existing AS e JOIN users AS u ON u.id = e.user_id
		UNION ALL
		SELECT d.id, d.object_key, d.user_id, coalesce(u.email, ''), 'gone', ''
		FROM deleted AS d LEFT JOIN users AS u ON u.id = d.user_id`, array(ids), array(keys))
	return infos, wrap(ctx, err, "read information about %d documents", len(ids)+len(keys))
}

// DeadLetterSequences returns which of the sequences of a stream are dead letters of the consumer.
func (db *DB) DeadLetterSequences(
	ctx context.Context, stream, consumer string, sequences []uint64,
) (map[uint64]bool, error) {
	signed := make([]int64, len(sequences))
	for i, s := range sequences {
		signed[i] = int64(s)
	}
	var rows []int64
	err := db.pool.SelectContext(ctx, &rows, `
		SELECT sequence FROM dead_letters
		WHERE stream = $1 AND `+anyOf("sequence", "$2::bigint[]", len(signed))+` AND consumer = $3
			AND sequence > 0 -- the condition of the index dead_letters_message`,
		stream, array(signed), consumer)
	dead := make(map[uint64]bool, len(rows))
	for _, s := range rows {
		dead[uint64(s)] = true
	}
	return dead, wrap(ctx, err, "find dead letters of %s", stream)
}

// Deletion returns the object deletion of a key, and when the object was deleted or nil. ok is
// false if there is none.
func (db *DB) Deletion(
	ctx context.Context, key string,
) (d Deletion, deletedAt *time.Time, ok bool, err error) {
	var row struct {
		Deletion
		DeletedAt *time.Time `db:"deleted_at"`
	}
	err = db.pool.GetContext(ctx, &row, `
		SELECT object_key, document_id, user_id, requested_at, attempts, next_attempt_at, last_error,
			deleted_at
		FROM object_deletions WHERE object_key = $1`, key)
	if errors.Is(err, sql.ErrNoRows) {
		return Deletion{}, nil, false, nil
	}
	return row.Deletion, row.DeletedAt, err == nil,
		wrap(ctx, err, "read the deletion of object %s", key)
}

// DocumentByID returns a document in any status, even if its object is gone. It fails with
// schema.CodeNotFound.
func (db *DB) DocumentByID(ctx context.Context, id uuid.UUID) (schema.Document, error) {
	docs, err := db.selectDocuments(ctx, fmt.Sprintf("read document %s", id), `WHERE id = $1`, id)
	if err != nil {
		return schema.Document{}, err
	}
	if len(docs) == 0 {
		return schema.Document{}, schema.Errorf(schema.CodeNotFound, "There is no document %s.", id)
	}
	return docs[0], nil
}
