package postgres

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// multipartColumns are the columns that scan into a schema.MultipartUpload.
const multipartColumns = `upload_id, document_id, user_id, object_key, size, part_size, renewed_at, aborting_at, attempts`

// renewInterval is how old the time of an upload's last URL may be before another one moves it: an upload of hundreds of parts
// would otherwise write its document's row as often. schema.ExpireAfter leaves room for it.
const renewInterval = time.Minute

// A Multipart is an upload in parts with the status of its document.
type Multipart struct {
	schema.MultipartUpload
	Status schema.Status
	// Active says that there is an upload that goes on; without it only Status and ObjectKey are set.
	Active bool
}

// AddMultipart records an upload that storage has begun for a document of the user that the DB is bound to. If the document has
// one already that goes on, that one is returned, and u is recorded as given up.
func (db *DB) AddMultipart(ctx context.Context, u schema.MultipartUpload) (schema.MultipartUpload, error) {
	if err := db.requireUser(); err != nil {
		return schema.MultipartUpload{}, err
	}
	u.UserID = db.user
	u.RenewedAt = schema.StoredTime(u.RenewedAt)
	for try := 1; ; try++ {
		added, err := db.addMultipart(ctx, u)
		// The other one ended between the two statements.
		if try < maxTransitionAttempts && errors.Is(err, sql.ErrNoRows) {
			continue
		}
		return added, wrap(ctx, err, "add multipart upload of document %s", u.DocumentID)
	}
}

func (db *DB) addMultipart(ctx context.Context, u schema.MultipartUpload) (added schema.MultipartUpload, err error) {
	const insert = `INSERT INTO multipart_uploads (upload_id, document_id, user_id, object_key, size, part_size, renewed_at, aborting_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	args := []any{u.UploadID, u.DocumentID, u.UserID, u.ObjectKey, u.Size, u.PartSize, u.RenewedAt}
	err = db.inTransaction(ctx, func(tx *tx) error {
		result, err := tx.ExecContext(ctx, insert+` ON CONFLICT (document_id) WHERE aborting_at IS NULL DO NOTHING`, append(args, nil)...)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 1 {
			added = u
			return err
		}
		err = tx.GetContext(ctx, &added, `SELECT `+multipartColumns+` FROM multipart_uploads
			WHERE document_id = $1 AND aborting_at IS NULL`, u.DocumentID)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, insert, append(args, u.RenewedAt)...)
		return err
	})
	return added, err
}

// Multipart returns the upload in parts of a document of the user that the DB is bound to. It fails with schema.CodeNotFound if
// there is no such document. With renewed, a URL for a part counts as issued at that time, to the minute, if the
// document still waits for its object: neither it nor the upload then ends before schema.ExpireAfter has passed.
func (db *DB) Multipart(ctx context.Context, document uuid.UUID, renewed *time.Time) (m Multipart, err error) {
	if err := db.requireUser(); err != nil {
		return Multipart{}, err
	}
	err = db.inTransaction(ctx, func(tx *tx) error {
		m = Multipart{}
		err := tx.QueryRowContext(ctx, `SELECT status, object_key FROM documents WHERE id = $1 AND user_id = $2 AND gone_at IS NULL`,
			document, tx.user).Scan(&m.Status, &m.ObjectKey)
		if errors.Is(err, sql.ErrNoRows) {
			return schema.Errorf(schema.CodeNotFound, "There is no such document.")
		}
		if err != nil {
			return err
		}
		err = tx.GetContext(ctx, &m.MultipartUpload, `SELECT `+multipartColumns+` FROM multipart_uploads
			WHERE document_id = $1 AND aborting_at IS NULL`, document)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		m.Active = true
		waits := m.Status == schema.StatusPending || m.Status == schema.StatusExpired
		if renewed == nil || !waits || renewed.Sub(m.RenewedAt) < renewInterval {
			return nil
		}
		return tx.renew(ctx, &m, schema.StoredTime(*renewed))
	})
	return m, wrap(ctx, err, "find multipart upload of document %s", document)
}

// renew moves the time of the last URL. The upload's row is locked first, and its time held there too: whoever gives
// uploads up looks at that row alone, so it sees one or the other.
func (tx *tx) renew(ctx context.Context, m *Multipart, now time.Time) error {
	result, err := tx.ExecContext(ctx, `UPDATE multipart_uploads SET renewed_at = greatest(renewed_at, $2)
		WHERE upload_id = $1 AND aborting_at IS NULL`, m.UploadID, now)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		m.Active = false // given up since it was read
		return err
	}
	m.RenewedAt = now
	_, err = tx.ExecContext(ctx, `UPDATE documents SET url_issued_at = greatest(url_issued_at, $2) WHERE id = $1`, m.DocumentID, now)
	return err
}

// DeleteMultipart forgets an upload of which storage has made the object, or whose parts it has dropped.
func (db *DB) DeleteMultipart(ctx context.Context, uploadID string) error {
	err := db.inTransaction(ctx, func(tx *tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM multipart_uploads WHERE upload_id = $1`, uploadID)
		return err
	})
	return wrap(ctx, err, "end multipart upload %s", uploadID)
}

// DueMultipartAborts gives up the uploads whose documents wait for no object any more, be it that they have one, were
// deleted, were rejected, are gone, or have expired; and returns those given up whose parts are to be dropped by now,
// the longest due first.
func (db *DB) DueMultipartAborts(ctx context.Context, now time.Time, limit int) (due []schema.MultipartUpload, err error) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		// The time is a condition of the upload's row itself: only those are evaluated again when the
		// row was renewed while its lock was awaited. OFFSET 0 keeps the subqueries lookups by the index.
		_, err := tx.ExecContext(ctx, `UPDATE multipart_uploads AS m SET aborting_at = $1, next_attempt_at = $1
			WHERE m.aborting_at IS NULL AND (
				NOT EXISTS (SELECT FROM documents AS d WHERE d.id = m.document_id AND d.status IN ('pending', 'expired') OFFSET 0)
				OR (m.renewed_at <= $2
					AND NOT EXISTS (SELECT FROM documents AS d WHERE d.id = m.document_id AND d.status = 'pending' OFFSET 0)))`,
			now, now.Add(-schema.ExpireAfter))
		if err != nil {
			return err
		}
		return tx.SelectContext(ctx, &due, `SELECT `+multipartColumns+` FROM multipart_uploads
			WHERE aborting_at IS NOT NULL AND next_attempt_at <= $1 ORDER BY next_attempt_at, upload_id LIMIT $2`, now, limit)
	})
	return due, wrap(ctx, err, "find multipart uploads to abort")
}

// RecordAbortFailure notes a failed attempt to drop an upload's parts and when the next one is due.
func (db *DB) RecordAbortFailure(ctx context.Context, uploadID, cause string, next time.Time) error {
	_, err := db.pool.ExecContext(ctx, `UPDATE multipart_uploads SET attempts = attempts + 1, last_error = $2, next_attempt_at = $3
		WHERE upload_id = $1`, uploadID, cause, next)
	return wrap(ctx, err, "note a failed abort of multipart upload %s", uploadID)
}
