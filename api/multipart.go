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

// Multipart begins and completes uploads in parts; *minio.Multipart does. It fails
// with minio.ErrNoUpload where storage has no such upload (any more).
type Multipart interface {
	Begin(ctx context.Context, key, contentType string) (uploadID string, err error)
	Parts(ctx context.Context, key, uploadID string) ([]schema.Part, error)
	// Complete fails with minio.ErrExists where an object is already, and with
	// minio.ErrChanged if a part is not there with its ETag.
	Complete(ctx context.Context, key, uploadID string, parts []schema.Part) error
}

// CreateMultipartUpload makes a pending document and begins the upload of its file.
//
// If the process dies between storage's answer and the note of it, nobody knows
// the upload; it holds nothing, and storage drops it by itself after a day.
func (s *server) CreateMultipartUpload(
	ctx context.Context, r CreateMultipartUploadRequestObject,
) (CreateMultipartUploadResponseObject, error) {
	d, _, err := s.newDocument(callerOf(ctx).id, UploadRequest{
		Filename: r.Body.Filename, ContentType: r.Body.ContentType, Size: r.Body.Size,
	})
	if err != nil {
		return nil, err
	}
	if most := schema.MaxMultipartSize; d.Size > most {
		return nil, tooLarge(d.Size, most)
	}
	d, about, err := s.storeDocument(ctx, d, r.Params.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	u, err := s.begin(ctx, d, about.created)
	if err != nil {
		return nil, &subjectError{about, err}
	}
	return multipartAnswer{CreateMultipartUpload201JSONResponse{
		Document: documentOf(postgres.DocumentView{Document: d}), Upload: multipartOf(u),
	}, about}, nil
}

// multipartAnswer is the answer of CreateMultipartUpload with its subject.
type multipartAnswer struct {
	CreateMultipartUpload201JSONResponse
	subject
}

// begin returns the document's upload, a new one if it is created or has none that
// goes on.
func (s *server) begin(
	ctx context.Context, d schema.Document, created bool,
) (schema.MultipartUpload, error) {
	now := time.Now().UTC()
	if !created {
		m, err := s.userDB(ctx).Multipart(ctx, d.ID, &now)
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
		RenewedAt:  now,
	})
}

// GetMultipartUpload lists the parts that arrived.
func (s *server) GetMultipartUpload(
	ctx context.Context, r GetMultipartUploadRequestObject,
) (GetMultipartUploadResponseObject, error) {
	m, err := s.ongoing(ctx, r.ID, nil)
	if err != nil {
		return nil, err
	}
	stored, err := s.config.Multipart.Parts(ctx, m.ObjectKey, m.UploadID)
	if errors.Is(err, minio.ErrNoUpload) {
		return nil, ended(m.Status)
	}
	if err != nil {
		return nil, fmt.Errorf("parts of document %s: %w", r.ID, err)
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

// SignPart gives the URL for one part.
func (s *server) SignPart(
	ctx context.Context, r SignPartRequestObject,
) (SignPartResponseObject, error) {
	now := time.Now().UTC()
	m, err := s.ongoing(ctx, r.ID, &now)
	if err != nil {
		return nil, err
	}
	if r.Number > m.Parts() {
		return nil, schema.Errorf(schema.CodeNotFound,
			"There is no part %d. The upload has %d parts.", r.Number, m.Parts())
	}
	url, expiresAt, err := s.config.Presigner.PartURL(
		ctx, m.ObjectKey, m.UploadID, r.Number, m.PartLength(r.Number), uploadExpiry)
	if err != nil {
		return nil, fmt.Errorf("URL of part %d of document %s: %w", r.Number, r.ID, err)
	}
	return SignPart200JSONResponse(PartUpload{
		Method: PartUploadMethodPUT, URL: url, Headers: map[string]string{}, ExpiresAt: expiresAt.UTC(),
	}), nil
}

// AbortMultipartUpload gives the upload and its document up. The sweeper, which the
// commit wakes, has storage drop the parts.
func (s *server) AbortMultipartUpload(
	ctx context.Context, r AbortMultipartUploadRequestObject,
) (AbortMultipartUploadResponseObject, error) {
	m, err := s.userDB(ctx).Multipart(ctx, r.ID, nil)
	if err != nil {
		return nil, err
	}
	if !m.Active && m.Status != schema.StatusDeleting {
		return nil, ended(m.Status)
	}
	now := time.Now().UTC()
	d, err := s.transition(ctx, r.ID, func(d *schema.Document, _ *schema.Quota) schema.Decision {
		if !waits(d.Status) {
			return schema.Decision{}
		}
		return d.Delete(now)
	})
	if err != nil {
		return nil, err
	}
	if d.Status != schema.StatusDeleting {
		return nil, ended(d.Status)
	}
	s.publisher.TryPublish(ctx, []schema.Document{d})
	return AbortMultipartUpload202Response{}, nil
}

// ongoing returns the document's upload, which waits for its parts.
func (s *server) ongoing(
	ctx context.Context, id uuid.UUID, renewed *time.Time,
) (postgres.Multipart, error) {
	m, err := s.userDB(ctx).Multipart(ctx, id, renewed)
	if err == nil && (!m.Active || !waits(m.Status)) {
		err = ended(m.Status)
	}
	return m, err
}

func ended(s schema.Status) error {
	return schema.Errorf(schema.CodeWrongStatus,
		"The document is %s and has no upload in parts that goes on. Begin a new one.", s)
}

// waits reports whether a document in this status waits for its object.
func waits(s schema.Status) bool { return s == schema.StatusPending || s == schema.StatusExpired }

func multipartOf(u schema.MultipartUpload) MultipartUpload {
	return MultipartUpload{
		UploadID: u.UploadID, Key: u.ObjectKey, PartSize: u.PartSize, PartCount: u.Parts(),
		ExpiresAt: u.RenewedAt.Add(schema.ExpireAfter).UTC(),
	}
}
