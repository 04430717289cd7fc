package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/schema"
)

// CompleteMultipartUpload has storage assemble the file from its parts. The document is then
// confirmed as after any other upload, by the bucket event or by POST /api/documents/{id}/confirm.
func (s *server) CompleteMultipartUpload(
	ctx context.Context, r CompleteMultipartUploadRequestObject,
) (CompleteMultipartUploadResponseObject, error) {
	m, err := s.userDB(ctx).Multipart(ctx, r.ID, true)
	if err != nil {
		return nil, err
	}
	if m.Active && m.Status.AwaitsFile() {
		err = s.completeMultipart(ctx, m, r.Body)
	} else {
		err = minio.ErrNoUpload
	}
	// A client that did not receive the first response repeats the request. The upload is then
	// already complete, which is a success.
	if errors.Is(err, minio.ErrNoUpload) || errors.Is(err, minio.ErrExists) {
		err = s.checkCompleted(ctx, m, r.ID)
	}
	if err != nil {
		return nil, err
	}
	view, err := s.userDB(ctx).Document(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	return CompleteMultipartUpload200JSONResponse(documentOf(view)), nil
}

// completeMultipart has storage assemble the object, provided that it has received all parts, and
// with the ETags that the request lists, if it lists them.
func (s *server) completeMultipart(
	ctx context.Context, m postgres.Multipart, request *CompleteRequest,
) error {
	var wanted []schema.Part
	if request != nil && request.Parts != nil {
		var err error
		if wanted, err = completeParts(m.MultipartUpload, *request.Parts); err != nil {
			return err
		}
	}
	stored, err := s.config.Multipart.Parts(ctx, m.ObjectKey, m.UploadID)
	if err != nil {
		return fmt.Errorf("list the parts of document %s: %w", m.DocumentID, err)
	}
	if wanted == nil {
		wanted = storedParts(m.MultipartUpload, stored)
	}
	if err := compareParts(m.MultipartUpload, wanted, stored); err != nil {
		return err
	}
	err = s.config.Multipart.Complete(ctx, m.ObjectKey, m.UploadID, wanted)
	if errors.Is(err, minio.ErrChanged) {
		return schema.Errorf(schema.CodeObjectMissing,
			"A part was uploaded again in the meantime. "+
				"List the parts and complete the upload again.")
	}
	if err != nil {
		return fmt.Errorf("complete upload of document %s: %w", m.DocumentID, err)
	}
	return s.userDB(ctx).DeleteMultipart(ctx, m.UploadID)
}

// completeParts returns the listed parts in the order of their numbers. It fails with CodeInvalid
// unless every part of the upload is listed exactly once.
func completeParts(u schema.MultipartUpload, listed []CompletedPart) ([]schema.Part, error) {
	parts := make([]schema.Part, u.PartCount())
	for _, p := range listed {
		switch {
		case p.Number > len(parts):
			return nil, schema.Errorf(schema.CodeInvalid,
				`The member "parts" lists part %d, but the upload has %d parts.`,
				p.Number, len(parts))
		case parts[p.Number-1].Number != 0:
			return nil, schema.Errorf(schema.CodeInvalid,
				`The member "parts" lists part %d twice. List each part once.`, p.Number)
		}
		etag := strings.ToLower(strings.Trim(p.Etag, `"`))
		parts[p.Number-1] = schema.Part{Number: p.Number, ETag: etag}
	}
	for i, p := range parts {
		if p.Number == 0 {
			return nil, schema.Errorf(schema.CodeInvalid,
				`The member "parts" lacks part %d. List each of the %d parts with its ETag.`,
				i+1, len(parts))
		}
	}
	return parts, nil
}

// storedParts returns all parts of the upload in the order of their numbers, with the ETags of the
// parts that storage has received.
func storedParts(u schema.MultipartUpload, stored []schema.Part) []schema.Part {
	parts := make([]schema.Part, u.PartCount())
	for i := range parts {
		parts[i].Number = i + 1
	}
	for _, p := range stored {
		if p.Number <= len(parts) {
			parts[p.Number-1].ETag = p.ETag
		}
	}
	return parts
}

// compareParts fails unless storage has every wanted part with the correct size and the wanted
// ETag. Storage checks this too, but its error does not name the part.
func compareParts(u schema.MultipartUpload, wanted, stored []schema.Part) error {
	for _, w := range wanted {
		i := slices.IndexFunc(stored, func(p schema.Part) bool { return p.Number == w.Number })
		if i < 0 {
			return schema.Errorf(schema.CodeObjectMissing,
				"Part %d has not been uploaded. Upload it and complete the upload again.", w.Number)
		}
		if size := u.PartLength(w.Number); stored[i].Size != size {
			return schema.Errorf(schema.CodeObjectMissing,
				"Part %d has %d bytes instead of %d. Upload it again.",
				w.Number, stored[i].Size, size)
		}
		if stored[i].ETag != w.ETag {
			return schema.Errorf(schema.CodeInvalid,
				"Part %d was uploaded with a different ETag. List the parts, or upload it again.",
				w.Number)
		}
	}
	return nil
}

// checkCompleted is called if storage no longer has the upload. It returns nil if the upload was
// completed, and fails with CodeWrongStatus if it was aborted or has expired.
func (s *server) checkCompleted(ctx context.Context, m postgres.Multipart, id uuid.UUID) error {
	if !m.Status.AwaitsFile() && m.Status != schema.StatusDeleting {
		return nil // the file was confirmed, or rejected
	}
	if m.Status.AwaitsFile() {
		confirmer := s.confirmer.ForUser(callerOf(ctx).id)
		results, err := confirmer.Confirm(ctx, []string{m.ObjectKey})
		if err != nil {
			return err
		}
		if err := results[0].Err; err != nil {
			return fmt.Errorf("confirm document %s: %w", id, err)
		}
		if results[0].Found {
			return nil
		}
	}
	return noActiveUpload(m.Status)
}
