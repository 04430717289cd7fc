package sweep

import (
	"context"
	"time"

	"intray/consumers/runner"
	"intray/infra/minio"
	"intray/schema"
)

// Uploads aborts multipart uploads. *minio.Objects implements it.
type Uploads interface {
	// AbortUpload aborts an upload and deletes its parts. It succeeds if there is no such upload.
	AbortUpload(ctx context.Context, key, uploadID string) error
}

const (
	abortBatch = 256
	// A failed abort is retried after a delay that starts at 5 s and doubles up to an hour. The number
	// of attempts is unlimited.
	minAbortDelay, maxAbortDelay = 5 * time.Second, time.Hour
)

// uploads aborts the multipart uploads whose documents no longer need an object. It uses the upload
// ids that were stored when the uploads began. An abort that fails for its object alone is
// postponed and does not block others, and one whose row is locked stays due. If a dependency is
// unavailable uploads returns an error immediately, and the remaining aborts stay due.
//
// This step runs before the deletions, because an upload that is completed after its document's
// object was deleted would create another object.
func (s *Sweeper) uploads(ctx context.Context) error {
	now, err := s.db.Now(ctx) // aborts that are postponed below are not due at this time
	if err != nil {
		return err
	}
	if err := s.db.AbandonMultiparts(ctx, now); err != nil {
		return err
	}
	var last schema.MultipartUpload
	for ctx.Err() == nil {
		due, err := s.db.DueMultipartAborts(ctx, now, last, abortBatch)
		if err != nil || len(due) == 0 {
			return err
		}
		if err := s.abort(ctx, due, now); err != nil {
			return err
		}
		last = due[len(due)-1]
	}
	return ctx.Err()
}

// abort aborts a batch of uploads. Those that MinIO does not abort in time delay no others.
func (s *Sweeper) abort(
	ctx context.Context, due []schema.MultipartUpload, now time.Time,
) error {
	abortUpload := func(ctx context.Context, i int) error {
		return s.objects.AbortUpload(ctx, due[i].ObjectKey, due[i].UploadID)
	}
	for errs := range minio.InRounds(ctx, len(due), abortUpload) {
		var outage error
		for i, cause := range errs {
			if runner.Outage(cause) {
				outage = cause
			} else if err := s.finishAbort(ctx, due[i], cause, now); err != nil {
				return err
			}
		}
		if outage != nil {
			return outage
		}
	}
	return nil
}

// finishAbort deletes the row of an upload that was aborted, or postpones the next attempt if it
// failed because of cause.
func (s *Sweeper) finishAbort(
	ctx context.Context, u schema.MultipartUpload, cause error, now time.Time,
) error {
	if cause == nil {
		return s.db.DeleteAborted(ctx, u.UploadID)
	}
	next := now.Add(runner.Delay(u.Attempts+1, minAbortDelay, maxAbortDelay))
	s.log.Warn("cannot abort multipart upload; the sweeper will retry",
		"document_id", u.DocumentID, "attempts", u.Attempts+1, "next_attempt", next, "error", cause)
	return s.db.RecordAbortFailure(ctx, u.UploadID, cause.Error(), next)
}
