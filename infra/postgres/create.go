package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"intray/schema"
)

// A Created is the result of CreateDocuments for one document.
type Created struct {
	// Document is the new document, or the one that an earlier request created under the same
	// idempotency key.
	Document schema.Document
	// New reports whether this call has created the document.
	New bool
	// Left is how many bytes of the user's quota were left before the request, for a request that
	// begins with a multipart upload without the bytes of unfinished ones. It can be negative.
	Left int64
	// Err is the reason why there is no Document, or why the Document, which is expired, cannot become
	// pending again.
	Err error
}

// A createResult is what the database returns for a new document.
type createResult struct {
	// Existing is the document that was created under the same idempotency key.
	Existing uuid.NullUUID `db:"existing"`
	// RemainingBytes is the rest of the quota before the document is charged, for a multipart upload
	// without the bytes of unfinished ones. It is NULL if the user has no quota.
	RemainingBytes sql.NullInt64 `db:"remaining_bytes"`
	// Pending is the limit on pending documents if the limit was reached, otherwise 0.
	Pending int64 `db:"pending"`
	// Now is the time of the transaction, which is when the document was created.
	Now time.Time `db:"now"`
}

// CreateDocument is CreateDocuments for one document. The empty string is no key. It stores a
// document without a key together with those of concurrent calls.
func (db *DB) CreateDocument(
	ctx context.Context, d schema.Document, idempotencyKey string, maxPending int,
) (doc schema.Document, created bool, err error) {
	if idempotencyKey != "" {
		d.IdempotencyKey = &idempotencyKey
	}
	results, err := db.CreateDocuments(ctx, []schema.Document{d}, maxPending)
	if err != nil {
		return schema.Document{}, false, err
	}
	return results[0].Document, results[0].New, results[0].Err
}

// CreateDocuments stores new pending documents of the user that the DB is bound to, with one
// commit, and returns one result for each, in order. A new document has the times at which it was
// created. CreateDocuments returns an error only if it fails for all of them.
//
// The result is schema.CodeQuotaExceeded if the declared size exceeds the rest of the quota, and
// schema.CodeTooManyPending if the user has maxPending pending documents. The documents before it
// in docs count, and for a multipart upload all unfinished ones of the user. CreateDocuments does
// not charge the quota; confirming a document does.
//
// If the user has used the idempotency key of a document before, the result is the document that
// was created then, as schema.Document.Renew changes it; an expired document has the same limits as
// a new one. The result is schema.CodeIdempotencyMismatch if the earlier request was different, and
// schema.CodeNotFound if the document is deleting or gone.
func (db *DB) CreateDocuments(
	ctx context.Context, docs []schema.Document, maxPending int,
) (created []Created, err error) {
	if err := db.requireUser(); err != nil {
		return nil, err
	}
	for i := range docs {
		docs[i].UserID = db.user
	}
	for attempt := 1; ; attempt++ {
		created, err = db.createDocuments(ctx, docs, maxPending)
		// If a concurrent request with the same key was first, the next attempt finds its document. If
		// the user has just been removed, it finds no user.
		if attempt < maxTransactionAttempts && (violates(err, "documents_idempotency") ||
			hasCode(err, deadlockDetected, foreignKeyViolation)) {
			continue
		}
		// The other request may take longer to commit than the lock timeout.
		if attempt < maxKeyAttempts && withKey(docs) && hasCode(err, lockNotAvailable) {
			continue
		}
		return created, wrap(ctx, err, "create %d documents, the first is %s", len(docs), docs[0].ID)
	}
}

// maxKeyAttempts is how often CreateDocuments waits for a concurrent request with the same
// idempotency key, each time for the lock timeout of create_documents, which is 100 ms.
const maxKeyAttempts = 20

func withKey(docs []schema.Document) bool {
	return slices.ContainsFunc(docs, func(d schema.Document) bool { return d.IdempotencyKey != nil })
}

func (db *DB) createDocuments(
	ctx context.Context, docs []schema.Document, maxPending int,
) ([]Created, error) {
	results, err := db.storeDocuments(ctx, docs, maxPending)
	if err != nil {
		return nil, err
	}
	created := make([]Created, len(docs))
	repeated := make(map[uuid.UUID][]int) // indexes of docs by the existing document
	for i, r := range results {
		switch {
		case r.Existing.Valid:
			repeated[r.Existing.UUID] = append(repeated[r.Existing.UUID], i)
		case !r.RemainingBytes.Valid:
			return nil, db.noQuota(ctx)
		default:
			created[i] = r.created(docs[i], maxPending)
		}
	}
	if len(repeated) > 0 {
		refusals := make(map[uuid.UUID]error, len(repeated))
		for id, indexes := range repeated {
			// In the rows after the first, the document itself counts.
			first := indexes[0]
			refusals[id] = results[first].refusal(docs[first], maxPending)
		}
		err = db.repeatDocuments(ctx, docs, repeated, refusals, created)
	}
	for i := range created {
		created[i].Left = results[0].RemainingBytes.Int64
	}
	return created, err
}

// storeDocuments stores the documents. A document without a key that is stored by a batch of
// concurrent requests is stored by a statement of its own if the batch failed, perhaps because of
// another document, such as one whose owner is locked.
func (db *DB) storeDocuments(
	ctx context.Context, docs []schema.Document, maxPending int,
) ([]createResult, error) {
	if len(docs) == 1 && docs[0].IdempotencyKey == nil {
		result, err := db.creationQueue.create(ctx, db, docs[0], maxPending)
		if err == nil || ctx.Err() != nil || unavailable(err) {
			return []createResult{result}, err
		}
	}
	pointers := make([]*schema.Document, len(docs))
	for i := range docs {
		pointers[i] = &docs[i]
	}
	return db.callCreateDocuments(ctx, pointers, maxPending, true)
}

// callCreateDocuments calls the database function create_documents. allOfOne reports whether the
// documents are those of one request.
func (db *DB) callCreateDocuments(
	ctx context.Context, docs []*schema.Document, maxPending int, allOfOne bool,
) ([]createResult, error) {
	stmt, err := db.prepare(ctx, `
		SELECT existing, remaining_bytes, pending, now() AS now
		FROM create_documents($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`)
	if err != nil {
		return nil, err
	}
	digests := make(pq.ByteaArray, len(docs))
	for i, d := range docs {
		digests[i] = d.DeclaredSHA256
	}
	var results []createResult
	err = db.withProver(ctx, func(p prover) error {
		macs := make(pq.ByteaArray, len(docs))
		for i, d := range docs {
			macs[i] = p.mac(d.UserID)
		}
		results = nil
		return stmt.SelectContext(ctx, &results,
			column(docs, func(d *schema.Document) uuid.UUID { return d.UserID }), p.expires, macs,
			column(docs, func(d *schema.Document) uuid.UUID { return d.ID }),
			column(docs, func(d *schema.Document) string { return d.Filename }),
			column(docs, func(d *schema.Document) string { return d.ContentType }),
			column(docs, func(d *schema.Document) int64 { return d.Size }),
			digests,
			column(docs, func(d *schema.Document) bool { return d.Multipart }),
			column(docs, func(d *schema.Document) string {
				if d.IdempotencyKey == nil {
					return ""
				}
				return *d.IdempotencyKey
			}),
			maxPending, allOfOne)
	})
	if err != nil {
		return nil, err
	}
	if len(results) != len(docs) {
		return nil, fmt.Errorf("create_documents returned %d rows for %d documents",
			len(results), len(docs))
	}
	return results, nil
}

// created returns the result for a document that did not exist.
func (r createResult) created(d schema.Document, maxPending int) Created {
	if err := r.refusal(d, maxPending); err != nil {
		return Created{Err: err}
	}
	now := schema.StoredTime(r.Now)
	d.CreatedAt, d.URLIssuedAt, d.ChangedAt = now, now, now
	return Created{Document: d, New: true}
}

// refusal returns why the document cannot become pending, or nil if it can.
func (r createResult) refusal(d schema.Document, maxPending int) error {
	switch {
	case d.Size > r.RemainingBytes.Int64:
		return quotaExceeded(d.Size, r.RemainingBytes.Int64, d.Multipart)
	case r.Pending > 0:
		return schema.Errorf(schema.CodeTooManyPending,
			"%d uploads were begun and not finished. Finish or delete some, or wait an hour.", r.Pending).
			With(schema.Facts{Limit: new(int64(maxPending))})
	}
	return nil
}

// quotaExceeded returns the error for a file of the size if only left bytes of the quota are left,
// for a multipart upload without the bytes of unfinished ones.
func quotaExceeded(size, left int64, multipart bool) *schema.Error {
	left = max(0, left)
	besides, remedy := "", "Delete documents or ask for more space."
	if multipart {
		besides = " besides unfinished multipart uploads"
		remedy = "Finish or cancel some, delete documents or ask for more space."
	}
	return schema.Errorf(schema.CodeQuotaExceeded,
		"The file is %d bytes long, but only %d bytes of the quota are left%s. %s",
		size, left, besides, remedy).
		With(schema.Facts{Pointer: "/size", Size: &size, Left: &left})
}

// noQuota returns the reason why the user has no quota.
func (db *DB) noQuota(ctx context.Context) error {
	return db.inTransaction(ctx, func(*tx) error { // fails if there is no such user
		return fmt.Errorf("user %s has no quota", db.user)
	})
}

// repeatDocuments sets the results for documents whose idempotency key was used before. repeated
// contains their indexes by the id of the existing document, and refusals why the existing document
// cannot become pending again.
func (db *DB) repeatDocuments(
	ctx context.Context, docs []schema.Document, repeated map[uuid.UUID][]int,
	refusals map[uuid.UUID]error, created []Created,
) error {
	ids := make([]uuid.UUID, 0, len(repeated))
	for id, indexes := range repeated {
		ids = append(ids, id)
		for _, i := range indexes {
			created[i].Err = ErrKeyOfDeleted
		}
	}
	existing, err := db.TransitionWithoutQuota(ctx, ids,
		func(d *schema.Document, now time.Time) schema.Decision {
			if d.Status == schema.StatusExpired && refusals[d.ID] != nil {
				return schema.Decision{}
			}
			for _, i := range repeated[d.ID] {
				if d.SameRequest(docs[i]) {
					return d.Renew(now)
				}
			}
			return schema.Decision{}
		})
	var locked *LockedError
	if err != nil && !errors.As(err, &locked) {
		return err
	}
	for id, indexes := range repeated {
		for _, i := range indexes {
			if locked.Has(id) {
				created[i].Err = err
			}
		}
	}
	for _, d := range existing {
		if d.Status == schema.StatusDeleting {
			continue
		}
		for _, i := range repeated[d.ID] {
			created[i] = repeatedResult(d, docs[i], refusals[d.ID])
		}
	}
	return nil
}

// repeatedResult returns the result for a request whose idempotency key is that of an existing
// document. refusal is why the document could not become pending again.
func repeatedResult(existing, requested schema.Document, refusal error) Created {
	switch {
	case !existing.SameRequest(requested):
		return Created{Err: errIdempotencyMismatch}
	case existing.Status == schema.StatusExpired:
		return Created{Document: existing, Err: refusal}
	}
	return Created{Document: existing}
}

// RenewExpired makes an expired document with a multipart upload, of the user that the DB is bound
// to, pending again, and returns it as it then is. The document has the same limits as a new one in
// CreateDocuments. In any other status RenewExpired changes nothing. It fails with
// schema.CodeNotFound if there is no such document.
func (db *DB) RenewExpired(
	ctx context.Context, id uuid.UUID, maxPending int,
) (schema.Document, error) {
	if err := db.requireUser(); err != nil {
		return schema.Document{}, err
	}
	var room createResult
	err := db.inTransaction(ctx, func(tx *tx) error {
		// The condition on the status is a range, as in create_documents.
		return tx.GetContext(ctx, &room, `
			SELECT limit_bytes - used_bytes - unfinished_upload_bytes($1, $3) AS remaining_bytes,
				CASE WHEN $2 <= (
				SELECT count(*) FROM (
					SELECT FROM documents WHERE user_id = $1 AND status >= 'pending' AND status <= 'pending'
					LIMIT $2) AS p) THEN $2 ELSE 0 END AS pending
			FROM quotas WHERE user_id = $1`, tx.user, maxPending, id)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return schema.Document{}, db.noQuota(ctx)
	}
	if err != nil {
		return schema.Document{}, wrap(ctx, err, "renew document %s", id)
	}
	docs, err := db.TransitionWithoutQuota(ctx, []uuid.UUID{id},
		func(d *schema.Document, now time.Time) schema.Decision {
			if d.Status != schema.StatusExpired || room.refusal(*d, maxPending) != nil {
				return schema.Decision{}
			}
			return d.Renew(now)
		})
	switch {
	case err != nil:
		return schema.Document{}, err
	case len(docs) == 0 || docs[0].GoneAt != nil:
		return schema.Document{}, errDocumentNotFound
	case docs[0].Status == schema.StatusExpired:
		return docs[0], room.refusal(docs[0], maxPending)
	}
	return docs[0], nil
}

// ErrKeyOfDeleted means that the document of an idempotency key was deleted.
var ErrKeyOfDeleted = schema.Errorf(schema.CodeNotFound,
	"The document of this Idempotency-Key was deleted. Use a new key for a new document.")

var errIdempotencyMismatch = schema.Errorf(schema.CodeIdempotencyMismatch,
	"This Idempotency-Key was used for a different request. Use a new key for each file.")
