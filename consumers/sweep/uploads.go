package sweep

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"intray/consumers/runner"
	"intray/infra/minio"
	"intray/schema"
)

// Uploads aborts multipart uploads; *minio.Objects does.
type Uploads interface {
	// AbortUpload succeeds where no such upload is.
	AbortUpload(ctx context.Context, key, uploadID string) error
}

const (
	abortBatch = 256
	// An abort that fails is repeated after 5 s, doubling up to an
	// hour, for as long as it takes.
	minAbortDelay, maxAbortDelay = 5 * time.Second, time.Hour
)

// uploads aborts the multipart uploads whose documents wait for no object any more, by
// the ids that were stored when they began. One that MinIO refuses to abort is put
// off and delays no other. It fails, at once, when a dependency does not answer; the
// rest is then still due.
//
// It goes before the deletions: an upload that is completed after its document's
// object was deleted makes another one.
func (s *Sweeper) uploads(ctx context.Context) error {
	now := time.Now() // what is put off meanwhile is not due by this
	for ctx.Err() == nil {
		due, err := s.db.DueMultipartAborts(ctx, now, abortBatch)
		if err != nil || len(due) == 0 {
			return err
		}
		if err := s.abort(ctx, due); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (s *Sweeper) abort(ctx context.Context, due []schema.MultipartUpload) error {
	errs := make([]error, len(due))
	var requests errgroup.Group
	requests.SetLimit(minio.MaxConcurrent)
	for i, u := range due {
		requests.Go(func() error {
			errs[i] = s.objects.AbortUpload(ctx, u.ObjectKey, u.UploadID)
			return nil
		})
	}
	_ = requests.Wait() // each has its error in errs
	var outage error
	for i, u := range due {
		switch cause := errs[i]; {
		case cause == nil:
			if err := s.db.DeleteMultipart(ctx, u.UploadID); err != nil {
				return err
			}
		case runner.Outage(cause):
			outage = cause
		default:
			next := time.Now().Add(runner.Delay(u.Attempts+1, minAbortDelay, maxAbortDelay))
			s.log.Warn("incomplete upload cannot be dropped; it is tried again",
				"document_id", u.DocumentID, "attempts", u.Attempts+1, "next", next, "error", cause)
			if err := s.db.RecordAbortFailure(ctx, u.UploadID, cause.Error(), next); err != nil {
				return err
			}
		}
	}
	return outage
}
