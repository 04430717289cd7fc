package postgres

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// documentColumns are the columns that scan into a schema.Document.
const documentColumns = `id, user_id, object_key, filename, content_type, size, status, reason,
	etag, charged_bytes, version, announcement, unpublished_at, topics_locked, provider, model,
	created_at, url_issued_at, changed_at, uploaded_at, classified_at, gone_at, detected_type,
	sha256, declared_sha256, multipart, idempotency_key, requested_filename`

// maxTransactionAttempts is the largest number of attempts of a transaction that the server aborts,
// for example because of a deadlock.
const maxTransactionAttempts = 3

// A DecideFunc changes a document and its owner's quota by a transition at the time now, and
// returns the decision. It must be a pure function of its arguments.
type DecideFunc func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision

// TransitionWithoutQuota is Transition for decisions that change no quota, such as those of
// schema.Document.Classify. It locks no quotas, so it neither waits for the other transactions of
// the documents' owners nor delays them. It fails if a decision changes what a document is charged.
func (db *DB) TransitionWithoutQuota(
	ctx context.Context, ids []uuid.UUID,
	decide func(d *schema.Document, now time.Time) schema.Decision,
) ([]schema.Document, error) {
	return db.transitionAll(ctx, ids, lockMode{},
		func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
			return decide(d, now)
		})
}

// Transition calls decide for each of the documents and writes its decisions, all in one
// transaction. It locks the documents that exist, in the order of their ids, and then their owners'
// quotas, in the order of the users' ids. It calls decide once for each document in the order of
// the ids, and writes the changed documents, quotas and topics, and the object deletions. It
// returns all documents that exist, ordered by id, as they are after the transaction. Documents of
// the same user share one Quota.
//
// The time that decide receives is that of the server's clock at the beginning of the transaction.
// decide is called inside the transaction. If the server aborts the transaction, Transition starts
// again. If other transactions hold locks of some documents or quotas for longer than the lock
// timeout, Transition leaves those documents out. It then returns a *LockedError that names them,
// together with the others, whose changes are committed. If Transition fails with another error,
// nothing has changed, with one exception: after ErrUnavailable the transaction may have been
// committed. Another call then finds the documents changed.
func (db *DB) Transition(
	ctx context.Context, ids []uuid.UUID, decide DecideFunc,
) ([]schema.Document, error) {
	return db.transitionAll(ctx, ids, lockMode{quotas: true}, decide)
}

func (db *DB) transitionAll(
	ctx context.Context, ids []uuid.UUID, mode lockMode, decide DecideFunc,
) ([]schema.Document, error) {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, compareIDs)
	ids = slices.Compact(ids)
	if len(ids) == 0 {
		return nil, nil
	}
	mode.brief = db.contention.active()
	for attempt := 1; ; attempt++ {
		docs, err := db.transition(ctx, ids, mode, decide)
		if hasCode(err, lockNotAvailable) && ctx.Err() == nil {
			db.contention.note()
			// If there are others, they do not wait for the locked documents.
			if len(ids) > 1 && !mode.skipLocked {
				mode.brief, mode.skipLocked = true, true
				continue
			}
			if len(ids) == 1 {
				err = &LockedError{ids}
			}
		}
		// If a topic is deleted concurrently, the foreign key to it is violated. The next attempt ignores
		// the topic.
		if attempt < maxTransactionAttempts && ctx.Err() == nil &&
			hasCode(err, deadlockDetected, serializationFailure, foreignKeyViolation) {
			continue
		}
		return docs, wrap(ctx, err, "change %d documents, the first is %s", len(ids), ids[0])
	}
}

func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

func (db *DB) transition(
	ctx context.Context, ids []uuid.UUID, mode lockMode, decide DecideFunc,
) ([]schema.Document, error) {
	tx, err := db.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()

	docs, quotas, now, err := tx.lock(ctx, ids, mode)
	if err != nil && !errors.As(err, new(*LockedError)) { // which is returned at the end
		return nil, err
	}
	if len(docs) == 0 {
		return nil, cmp.Or(tx.Commit(), err)
	}
	w := &pendingWrites{
		versions: make([]int64, 0, len(docs)), hasTopics: make(map[uuid.UUID]*bool),
	}
	for i := range docs {
		d := &docs[i]
		q := quotas[d.UserID]
		if mode.quotas && q == nil {
			return nil, fmt.Errorf("user %s has no quota", d.UserID)
		}
		version, charged, filename, counted := d.Version, d.ChargedBytes, d.Filename, d.Status.Counted()
		decision := decide(d, q, now)
		if !mode.quotas && d.ChargedBytes != charged {
			return nil, fmt.Errorf("the charge of document %s changed without its quota", d.ID)
		}
		w.add(d, version, decision)
		if d.Filename != filename {
			w.renamed = append(w.renamed, d)
		}
		if counted && d.GoneAt != nil && d.IdempotencyKey != nil {
			w.lost = append(w.lost, d)
		}
	}
	if err := tx.write(ctx, w, quotas); err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return docs, err
	}
	countTransitions(w)
	return docs, err
}
