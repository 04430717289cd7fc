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
const multipartColumns = `upload_id, document_id, user_id, object_key, size, part_size, renewed_at,
	aborting_at, attempts, next_attempt_at`

// renewInterval is the smallest interval at which the time of an upload's last URL is updated.
// Without it, an upload of hundreds of parts would update its document's row hundreds of times.
// schema.ExpireAfter is long enough to allow for it.
const renewInterval = time.Minute

// A Multipart is a document's multipart upload, with the status of the document.
type Multipart struct {
	schema.MultipartUpload
	Status schema.Status
	// Active reports whether the document has an upload that is not abandoned. If not, only Status and
	// ObjectKey are set.
	Active bool
	// Refusal is the schema.CodeQuotaExceeded error if the bytes of the user's unfinished multipart
	// uploads, this one included, exceed the rest of the quota. Then no URL of a part may be issued.
	Refusal error
	// Left is how many bytes of the quota are left, without regard to unfinished uploads. It can be
	// negative.
	Left int64
}

// AddMultipart records a multipart upload that object storage has begun for a document of the user
// that the DB is bound to, and returns it. If the document already has an active upload,
// AddMultipart returns that one and records u as abandoned.
func (db *DB) AddMultipart(
	ctx context.Context, u schema.MultipartUpload,
) (schema.MultipartUpload, error) {
	if err := db.requireUser(); err != nil {
		return schema.MultipartUpload{}, err
	}
	u.UserID = db.user
	for attempt := 1; ; attempt++ {
		added, err := db.addMultipart(ctx, u)
		// If there is no row, the active upload ended after the INSERT and before the SELECT.
		if attempt < maxTransactionAttempts && errors.Is(err, sql.ErrNoRows) {
			continue
		}
		return added, wrap(ctx, err, "add multipart upload of document %s", u.DocumentID)
	}
}

func (db *DB) addMultipart(
	ctx context.Context, u schema.MultipartUpload,
) (added schema.MultipartUpload, err error) {
	const insert = `
		INSERT INTO multipart_uploads (upload_id, document_id, user_id, object_key, size, part_size,
			renewed_at, aborting_at)
		VALUES ($1, $2, $3, $4, $5, $6, now(), `
	args := []any{u.UploadID, u.DocumentID, u.UserID, u.ObjectKey, u.Size, u.PartSize}
	err = db.inTransaction(ctx, func(tx *tx) error {
		_, err := tx.ExecContext(ctx,
			insert+`NULL) ON CONFLICT (document_id) WHERE aborting_at IS NULL DO NOTHING`, args...)
		if err != nil {
			return err
		}
		err = tx.GetContext(ctx, &added, `SELECT `+multipartColumns+` FROM multipart_uploads
			WHERE document_id = $1 AND aborting_at IS NULL`, u.DocumentID)
		if err != nil || added.UploadID == u.UploadID {
			return err
		}
		_, err = tx.ExecContext(ctx, insert+`now())`, args...)
		return err
	})
	return added, err
}

// Multipart returns the multipart upload of a document of the user that the DB is bound to. It
// fails with schema.CodeNotFound if there is no such document.
//
// If renew is set and the document is pending, a URL for a part counts as issued now, with a
// precision of one minute. Neither the document nor the upload then expires until
// schema.ExpireAfter has passed since.
func (db *DB) Multipart(
	ctx context.Context, document uuid.UUID, renew bool,
) (m Multipart, err error) {
	if err := db.requireUser(); err != nil {
		return Multipart{}, err
	}
	err = db.inTransaction(ctx, func(tx *tx) error {
		m = Multipart{}
		var now time.Time
		var left, unfinished int64
		err := tx.QueryRowContext(ctx, `
			SELECT d.status, d.object_key, now(), q.limit_bytes - q.used_bytes,
				unfinished_upload_bytes($2, $1)
			FROM documents AS d JOIN quotas AS q ON q.user_id = $2
			WHERE d.id = $1 AND d.user_id = $2 AND d.gone_at IS NULL`,
			document, tx.user).Scan(&m.Status, &m.ObjectKey, &now, &left, &unfinished)
		if errors.Is(err, sql.ErrNoRows) {
			return errDocumentNotFound
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
		m.Active, m.Left = true, left
		if m.Size > left-unfinished {
			m.Refusal = quotaExceeded(m.Size, left-unfinished, true)
		}
		if !renew || m.Status != schema.StatusPending || now.Sub(m.RenewedAt) < renewInterval {
			return nil
		}
		return tx.renew(ctx, &m, now)
	})
	return m, wrap(ctx, err, "find multipart upload of document %s", document)
}

// renew updates the time of the last URL of the upload and of its document. The upload's row is
// updated first. DueMultipartAborts reads the time from that row only, so either it sees the new
// time, or renew sees that the upload is abandoned.
func (tx *tx) renew(ctx context.Context, m *Multipart, now time.Time) error {
	result, err := tx.ExecContext(ctx, `
		UPDATE multipart_uploads SET renewed_at = greatest(renewed_at, $2)
		WHERE upload_id = $1 AND aborting_at IS NULL`, m.UploadID, now)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		m.Active = false // it was abandoned after it was read
		return err
	}
	m.RenewedAt = now
	_, err = tx.ExecContext(ctx, `
		UPDATE documents SET url_issued_at = greatest(url_issued_at, $2) WHERE id = $1`,
		m.DocumentID, now)
	return err
}

// DeleteMultipart deletes the record of an upload that object storage has completed.
func (db *DB) DeleteMultipart(ctx context.Context, uploadID string) error {
	err := db.inTransaction(ctx, func(tx *tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM multipart_uploads WHERE upload_id = $1`, uploadID)
		return err
	})
	return wrap(ctx, err, "delete multipart upload %s", uploadID)
}

// abandonBatch is the number of uploads that one statement of AbandonMultiparts checks.
const abandonBatch = 1000

// AbandonMultiparts abandons two kinds of uploads: those whose document is neither pending nor
// expired, or no longer exists; and those of expired documents whose last URL was issued
// schema.ExpireAfter ago. It leaves out uploads that other transactions have locked.
func (db *DB) AbandonMultiparts(ctx context.Context, now time.Time) error {
	var checked struct {
		N    int       `db:"n"`
		Last uuid.UUID `db:"last"`
	}
	for {
		// The time is compared with a column of the locked row. If the row was renewed before it was
		// locked, PostgreSQL evaluates only the conditions on that row again. OFFSET 0 makes the planner
		// look the documents up by the index.
		err := db.pool.GetContext(ctx, &checked, `
			WITH checked AS MATERIALIZED (
				SELECT upload_id, document_id FROM multipart_uploads
				WHERE aborting_at IS NULL AND document_id > $3 ORDER BY document_id LIMIT $4),
			abandoned AS (
				UPDATE multipart_uploads SET aborting_at = $1, next_attempt_at = $1
				WHERE upload_id = ANY(ARRAY(
					SELECT m.upload_id FROM multipart_uploads AS m
					WHERE m.upload_id = ANY(ARRAY(SELECT upload_id FROM checked))
						AND m.aborting_at IS NULL AND (
							NOT EXISTS (SELECT FROM documents AS d
								WHERE d.id = m.document_id AND d.status IN ('pending', 'expired') OFFSET 0)
							OR (m.renewed_at <= $2 AND NOT EXISTS (SELECT FROM documents AS d
								WHERE d.id = m.document_id AND d.status = 'pending' OFFSET 0)))
					FOR NO KEY UPDATE SKIP LOCKED)))
			SELECT (SELECT count(*) FROM checked) AS n, document_id AS last
			FROM checked ORDER BY document_id DESC LIMIT 1`,
			now, now.Add(-schema.ExpireAfter), checked.Last, abandonBatch)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil
		case err != nil:
			return wrap(ctx, err, "abandon multipart uploads")
		case checked.N < abandonBatch:
			return nil
		}
	}
}

// DueMultipartAborts returns up to limit abandoned uploads that are due to be aborted in object
// storage, the longest due first, starting after the given one. The zero MultipartUpload starts
// with the first.
func (db *DB) DueMultipartAborts(
	ctx context.Context, now time.Time, after schema.MultipartUpload, limit int,
) (due []schema.MultipartUpload, err error) {
	err = db.pool.SelectContext(ctx, &due, `
		SELECT `+multipartColumns+` FROM multipart_uploads
		WHERE aborting_at IS NOT NULL AND next_attempt_at <= $1
			AND (next_attempt_at, upload_id) > ($2, $3)
		ORDER BY next_attempt_at, upload_id LIMIT $4`,
		now, after.NextAttemptAt, after.UploadID, limit)
	return due, wrap(ctx, err, "find multipart uploads to abort")
}

// DeleteAborted deletes the record of an upload that object storage has aborted. It does nothing if
// another transaction has locked the row; the abort then stays due.
func (db *DB) DeleteAborted(ctx context.Context, uploadID string) error {
	_, err := db.exec(ctx, `
		DELETE FROM multipart_uploads WHERE upload_id = (
			SELECT upload_id FROM multipart_uploads WHERE upload_id = $1 FOR UPDATE SKIP LOCKED)`,
		uploadID)
	return wrap(ctx, err, "delete aborted multipart upload %s", uploadID)
}

// RecordAbortFailure records a failed attempt to abort an upload in object storage, and when the
// next one is due. It does nothing if another transaction has locked the row.
func (db *DB) RecordAbortFailure(
	ctx context.Context, uploadID, cause string, next time.Time,
) error {
	_, err := db.exec(ctx, `
		UPDATE multipart_uploads
		SET attempts = attempts + 1, last_error = $2, next_attempt_at = $3
		WHERE upload_id = (SELECT upload_id FROM multipart_uploads
			WHERE upload_id = $1 FOR NO KEY UPDATE SKIP LOCKED)`,
		uploadID, storableReason(cause), next)
	return wrap(ctx, err, "record the failed abort of multipart upload %s", uploadID)
}
