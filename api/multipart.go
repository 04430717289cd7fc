package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/schema"
)

// Multipart creates and completes multipart uploads in storage. *minio.Multipart implements it.
// Parts and Complete return minio.ErrNoUpload if storage does not have the upload, because it was
// completed or aborted.
type Multipart interface {
	Begin(ctx context.Context, key, contentType string) (uploadID string, err error)
	Parts(ctx context.Context, key, uploadID string) ([]schema.Part, error)
	// Complete returns minio.ErrExists if there is already an object with this key, and
	// minio.ErrChanged if the ETag of a stored part differs from the one in parts.
	Complete(ctx context.Context, key, uploadID string, parts []schema.Part) error
}

// CreateMultipartUpload creates a pending document and begins the multipart upload of its file.
//
// If the process ends after storage has created the upload and before the database has recorded
// it, the upload is orphaned. It has no parts, and storage removes it after a day.
func (s *server) CreateMultipartUpload(
	ctx context.Context, r CreateMultipartUploadRequestObject,
) (CreateMultipartUploadResponseObject, error) {
	d, err := s.newDocument(callerOf(ctx).id, UploadRequest{
		Filename: r.Body.Filename, ContentType: r.Body.ContentType, Size: r.Body.Size,
	})
	if err != nil {
		return nil, err
	}
	if limit := schema.MaxMultipartSize; d.Size > limit {
		return nil, fileTooLarge(d.Size, limit)
	}
	d.Multipart = true
	d.IdempotencyKey = r.Params.IdempotencyKey
	stored, err := s.storeDocument(ctx, d)
	if err != nil {
		return nil, err
	}
	result := MultipartCreated{Document: documentOf(stored.view)}
	if !stored.view.Status.AwaitsFile() {
		return repeatedMultipartResponse{
			CreateMultipartUpload200JSONResponse(result), stored.requested(),
		}, nil
	}
	u, err := s.beginMultipart(ctx, stored.view.Document, stored.created)
	if err != nil {
		return nil, &documentError{stored.requested(), err}
	}
	upload := multipartOf(u)
	result.Upload = &upload
	return multipartResponse{
		CreateMultipartUpload201JSONResponse(result), stored.requested(),
	}, nil
}

// multipartResponse is a response of CreateMultipartUpload with the document it concerns.
type multipartResponse struct {
	CreateMultipartUpload201JSONResponse
	requestDocument
}

// repeatedMultipartResponse is the response of CreateMultipartUpload if the document already has
// its file.
type repeatedMultipartResponse struct {
	CreateMultipartUpload200JSONResponse
	requestDocument
}

// beginMultipart returns the document's multipart upload. It begins a new one if this request
// created the document or if the document has no active upload.
func (s *server) beginMultipart(
	ctx context.Context, d schema.Document, created bool,
) (schema.MultipartUpload, error) {
	if !created {
		m, err := s.userDB(ctx).Multipart(ctx, d.ID, true)
		if err != nil || m.Active {
			return m.MultipartUpload, err
		}
	}
	id, err := s.config.Multipart.Begin(ctx, d.ObjectKey, d.ContentType)
	if err != nil {
		return schema.MultipartUpload{}, fmt.Errorf("begin upload of document %s: %w", d.ID, err)
	}
	return s.userDB(ctx).AddMultipart(ctx, schema.MultipartUpload{
		UploadID:   id,
		DocumentID: d.ID,
		ObjectKey:  d.ObjectKey,
		Size:       d.Size,
		PartSize:   schema.PartSize(d.Size),
	})
}

// GetMultipartUpload returns the upload and the parts that storage has received.
func (s *server) GetMultipartUpload(
	ctx context.Context, r GetMultipartUploadRequestObject,
) (GetMultipartUploadResponseObject, error) {
	m, err := s.activeMultipart(ctx, r.ID, false)
	if err != nil {
		return nil, err
	}
	stored, err := s.config.Multipart.Parts(ctx, m.ObjectKey, m.UploadID)
	if errors.Is(err, minio.ErrNoUpload) {
		return nil, noActiveUpload(m.Status)
	}
	if err != nil {
		return nil, fmt.Errorf("list the parts of document %s: %w", r.ID, err)
	}
	progress := MultipartProgress{
		Upload: multipartOf(m.MultipartUpload),
		Parts:  make([]UploadedPart, len(stored)),
	}
	for i, p := range stored {
		progress.Parts[i] = UploadedPart{Number: p.Number, Size: p.Size, Etag: p.ETag}
	}
	return GetMultipartUpload200JSONResponse(progress), nil
}

// AbortMultipartUpload marks the document as deleting and its upload as aborted. The sweeper, which
// the commit wakes, removes the parts from storage.
func (s *server) AbortMultipartUpload(
	ctx context.Context, r AbortMultipartUploadRequestObject,
) (AbortMultipartUploadResponseObject, error) {
	m, err := s.userDB(ctx).Multipart(ctx, r.ID, false)
	if err != nil {
		return nil, err
	}
	if !m.Active && m.Status != schema.StatusDeleting {
		return nil, noActiveUpload(m.Status)
	}
	d, err := s.transition(ctx, r.ID, nil, func(d *schema.Document, now time.Time) schema.Decision {
		if !d.Status.AwaitsFile() {
			return schema.Decision{}
		}
		return d.Delete(now)
	})
	if err != nil {
		return nil, err
	}
	if d.Status != schema.StatusDeleting {
		return nil, noActiveUpload(d.Status)
	}
	s.publisher.TryPublish(ctx, []schema.Document{d})
	return AbortMultipartUpload202Response{}, nil
}

// activeMultipart returns the multipart upload of a document that still awaits its file. It fails
// with CodeWrongStatus if there is none. If renew is set, activeMultipart records that a URL for a
// part is issued now, which postpones the expiry. An expired document becomes pending again, unless
// that would exceed the limits of new documents. No URL is issued if the unfinished multipart
// uploads of the caller would not fit into the quota.
func (s *server) activeMultipart(
	ctx context.Context, id uuid.UUID, renew bool,
) (postgres.Multipart, error) {
	m, err := s.userDB(ctx).Multipart(ctx, id, renew)
	if err != nil {
		return m, err
	}
	if m.Active && renew && m.Status == schema.StatusExpired {
		d, err := s.userDB(ctx).RenewExpired(ctx, id, s.config.Limits.MaxPending)
		if err != nil {
			return m, s.unlessArrived(ctx, m, err)
		}
		s.publisher.TryPublish(ctx, []schema.Document{d})
		s.hint(ctx, schema.HintPending)
		if m, err = s.userDB(ctx).Multipart(ctx, id, renew); err != nil {
			return m, err
		}
	}
	if !m.Active || !m.Status.AwaitsFile() {
		return m, noActiveUpload(m.Status)
	}
	if renew && m.Refusal != nil {
		return m, s.unlessArrived(ctx, m, m.Refusal)
	}
	return m, nil
}

// unlessArrived returns the error for which the URL of a part is refused. If the file has arrived,
// it confirms the document and returns the error that the document has no active upload instead.
func (s *server) unlessArrived(ctx context.Context, m postgres.Multipart, refusal error) error {
	if code := schema.CodeOf(refusal); code != schema.CodeQuotaExceeded &&
		code != schema.CodeTooManyPending {
		return refusal
	}
	s.confirmRepeated(ctx, []string{m.ObjectKey})
	current, err := s.userDB(ctx).Multipart(ctx, m.DocumentID, false)
	switch {
	case err != nil:
		return err
	case !current.Status.AwaitsFile():
		return noActiveUpload(current.Status)
	}
	return refusal
}

func noActiveUpload(s schema.Status) error {
	return schema.Errorf(schema.CodeWrongStatus,
		"The document is %s and has no active multipart upload. Begin a new one.", s)
}

func multipartOf(u schema.MultipartUpload) MultipartUpload {
	return MultipartUpload{
		UploadID:  u.UploadID,
		Key:       u.ObjectKey,
		PartSize:  u.PartSize,
		PartCount: u.PartCount(),
		ExpiresAt: u.RenewedAt.Add(schema.ExpireAfter).UTC(),
	}
}
