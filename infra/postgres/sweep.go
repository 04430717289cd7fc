package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// PendingDocuments reads up to limit pending documents in the order of their ids, starting after
// the given id. It returns those whose last URL was issued before the time, of which there may be
// none, and the id after which the next page starts, or uuid.Nil if this page is the last. It
// leaves out documents that UncheckedUploads returns when they are due.
func (db *DB) PendingDocuments(
	ctx context.Context, before time.Time, after uuid.UUID, limit int,
) (due []schema.Document, next uuid.UUID, err error) {
	var page []struct {
		schema.Document
		Unchecked bool `db:"unchecked"`
	}
	err = db.pool.SelectContext(ctx, &page, `
		SELECT `+documentColumns+`, EXISTS (SELECT FROM unchecked_uploads AS u
			WHERE u.document_id = documents.id OFFSET 0) AS unchecked
		FROM documents WHERE status = 'pending' AND id > $1 ORDER BY id LIMIT $2`, after, limit)
	if err != nil {
		return nil, uuid.Nil, wrap(ctx, err, "find pending documents")
	}
	for _, d := range page {
		if d.URLIssuedAt.Before(before) && !d.Unchecked {
			due = append(due, d.Document)
		}
	}
	if len(page) == limit {
		next = page[limit-1].ID
	}
	return due, next, nil
}

// UnpublishedDocuments returns up to limit documents that have been unpublished for longer than the
// duration, in the order in which they became unpublished, starting after the given document. The
// zero document starts with the first.
func (db *DB) UnpublishedDocuments(
	ctx context.Context, longerThan time.Duration, after schema.Document, limit int,
) ([]schema.Document, error) {
	var from time.Time
	if after.UnpublishedAt != nil {
		from = *after.UnpublishedAt
	}
	return db.selectDocuments(ctx, "find unpublished documents", `
		WHERE unpublished_at < now() - make_interval(secs => $1) AND (unpublished_at, id) > ($2, $3)
		ORDER BY unpublished_at, id LIMIT $4`, longerThan.Seconds(), from, after.ID, limit)
}

const (
	// maxRepublications limits how often the interval of a republished document grows.
	maxRepublications = 5
	// attemptGrace is how long a document is left alone after the time at which its next attempt was
	// due. Within this time the attempt has ended, or is recorded as taking long.
	attemptGrace = time.Minute
)

// MinRecordInterval and MaxRecordInterval limit how long the postponement of a message may outlast
// its record, before it is recorded again. In between, this is as long as the message has been
// postponed so far. While an AI provider is down, thousands of messages are postponed again and
// again, so not every postponement is recorded.
const MinRecordInterval, MaxRecordInterval = time.Minute, 10 * time.Minute

// ReasonInProgress is the reason of an attempt that is in progress. Its NextAt is when it is
// recorded again at the latest.
const ReasonInProgress = "classification is in progress"

// An UnclassifiedDocument is a published document that has the status uploaded.
type UnclassifiedDocument struct {
	ID     uuid.UUID `db:"id"`
	UserID uuid.UUID `db:"user_id"`
	// Overdue reports whether its event may be lost: it was published longer ago than the limit, and
	// no attempt is known that was postponed, failed or takes long.
	Overdue bool `db:"overdue"`
	// Parked reports whether its message was parked and is due. Overdue is false then.
	Parked bool `db:"parked"`
}

// UnclassifiedDocuments reads up to limit documents that have the status uploaded, in the order of
// their ids, starting after the given id. It returns those that are published, and the id after
// which the next page starts, or uuid.Nil if this page is the last. It leaves out documents whose
// current event is a dead letter, which is left to an operator.
//
// An event counts as overdue after the time × 4ⁿ, where n is how often the sweeper has published it
// again. So the interval grows, up to a factor of 4⁵, but there is no last time, because a stream
// can be lost any number of times.
func (db *DB) UnclassifiedDocuments(
	ctx context.Context, overdueAfter time.Duration, after uuid.UUID, limit int,
) (documents []UnclassifiedDocument, next uuid.UUID, err error) {
	var page []struct {
		UnclassifiedDocument
		Skipped bool `db:"skipped"`
	}
	// OFFSET makes the planner look the attempts and dead letters of each document up by an index.
	err = db.pool.SelectContext(ctx, &page, `
		SELECT d.id, d.user_id,
			d.unpublished_at IS NOT NULL OR EXISTS (
				SELECT FROM dead_letters AS l
				WHERE l.headers -> 'Nats-Msg-Id' ->> 0
						= concat_ws(':', d.id, d.version, d.announcement)
					AND l.stream = $3 AND l.consumer = $4 OFFSET 0) AS skipped,
			p.next_at IS NOT NULL AND p.next_at <= now() AS parked,
			p.next_at IS NULL AND coalesce(d.published_at, d.changed_at)
					< now() - make_interval(secs => $1 * 4 ^ least(d.announcement, $2))
				AND NOT EXISTS (
					SELECT FROM document_attempts AS t
					WHERE t.document_id = d.id AND t.stream = $3 AND t.consumer = $4
						AND t.next_at + make_interval(secs => $5)
							+ CASE WHEN t.attempt = 0 AND t.reason <> $8 THEN least(greatest(
								t.at - coalesce(d.published_at, d.changed_at),
								make_interval(secs => $9)), make_interval(secs => $10))
							ELSE '0' END > now()
					OFFSET 0) AS overdue
		FROM (SELECT id, user_id, version, announcement, unpublished_at, published_at, changed_at
			FROM documents WHERE status = 'uploaded' AND id > $6 ORDER BY id LIMIT $7) AS d
		LEFT JOIN LATERAL (
			SELECT t.next_at FROM document_attempts AS t
			WHERE t.document_id = d.id AND t.stream = $3 AND t.consumer = $4 AND t.attempt = 0
				AND t.parked OFFSET 0) AS p ON true
		ORDER BY d.id`,
		overdueAfter.Seconds(), maxRepublications, schema.StreamDocuments, schema.ConsumerClassify,
		attemptGrace.Seconds(), after, limit, ReasonInProgress, MinRecordInterval.Seconds(),
		MaxRecordInterval.Seconds())
	if err != nil {
		return nil, uuid.Nil, wrap(ctx, err, "find unclassified documents")
	}
	for _, d := range page {
		if !d.Skipped {
			documents = append(documents, d.UnclassifiedDocument)
		}
	}
	if len(page) == limit {
		next = page[limit-1].ID
	}
	return documents, next, nil
}

// MarkUnpublished marks documents as unpublished, so that their current version is published again
// under a new message id, and no longer as parked. It returns the documents that exist, ordered by
// id, without those that other transactions have locked, because something is being done about
// them.
func (db *DB) MarkUnpublished(
	ctx context.Context, ids []uuid.UUID,
) (docs []schema.Document, err error) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		var now time.Time
		var err error
		if docs, now, err = tx.lockDocuments(ctx, ids, lockMode{skipLocked: true}); err != nil {
			return err
		}
		existing := make([]uuid.UUID, len(docs))
		for i := range docs {
			docs[i].MarkUnpublished(now)
			existing[i] = docs[i].ID
		}
		_, err = tx.ExecContext(ctx, `
			UPDATE documents SET announcement = announcement + 1, unpublished_at = now()
			WHERE `+anyOf("id", "$1::uuid[]", len(existing)), array(existing))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `
			UPDATE document_attempts SET parked = false
			WHERE `+anyOf("document_id", "$1::uuid[]", len(existing))+` AND stream = $2
				AND consumer = $3 AND attempt = 0 AND parked`,
			array(existing), schema.StreamDocuments, schema.ConsumerClassify)
		return err
	})
	if err != nil {
		return nil, wrap(ctx, err, "mark %d documents as unpublished", len(ids))
	}
	return docs, nil
}
