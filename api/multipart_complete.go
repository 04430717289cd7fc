package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/schema"
)

// CompleteMultipartUpload makes the file of its parts. What becomes of the document
// is decided as after any upload, by the event or by confirm.
func (s *server) CompleteMultipartUpload(ctx context.Context, r CompleteMultipartUploadRequestObject) (CompleteMultipartUploadResponseObject, error) {
	now := time.Now().UTC()
	m, err := s.userDB(ctx).Multipart(ctx, r.ID, &now)
	if err != nil {
		return nil, err
	}
	if m.Active && waits(m.Status) {
		err = s.complete(ctx, m, r.Body.Parts)
	} else {
		err = minio.ErrNoUpload
	}
	// An answer that was lost is asked for again: then the file is there.
	if errors.Is(err, minio.ErrNoUpload) || errors.Is(err, minio.ErrExists) {
		err = s.alreadyThere(ctx, m, r.ID)
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

// complete has storage make the object, if all parts are there as the request has
// them.
func (s *server) complete(ctx context.Context, m postgres.Multipart, given []CompletedPart) error {
	wanted, err := completeParts(m.MultipartUpload, given)
	if err != nil {
		return err
	}
	stored, err := s.config.Multipart.Parts(ctx, m.ObjectKey, m.UploadID)
	if err != nil {
		return fmt.Errorf("parts of document %s: %w", m.DocumentID, err)
	}
	if err := compareParts(m.MultipartUpload, wanted, stored); err != nil {
		return err
	}
	err = s.config.Multipart.Complete(ctx, m.ObjectKey, m.UploadID, wanted)
	if errors.Is(err, minio.ErrChanged) {
		return schema.Errorf(schema.CodeObjectMissing, "A part was uploaded anew meanwhile. List the parts and complete the upload again.")
	}
	if err != nil {
		return fmt.Errorf("complete upload of document %s: %w", m.DocumentID, err)
	}
	return s.userDB(ctx).DeleteMultipart(ctx, m.UploadID)
}

// completeParts returns the parts that the request names, by number. It must name
// every part of the upload once.
func completeParts(u schema.MultipartUpload, given []CompletedPart) ([]schema.Part, error) {
	parts := make([]schema.Part, u.Parts())
	for _, p := range given {
		switch {
		case p.Number > len(parts):
			return nil, schema.Errorf(schema.CodeInvalid, `The member "parts" has a part %d. The upload has %d parts.`, p.Number, len(parts))
		case parts[p.Number-1].Number != 0:
			return nil, schema.Errorf(schema.CodeInvalid, `The member "parts" has part %d twice. Send each part once.`, p.Number)
		}
		parts[p.Number-1] = schema.Part{Number: p.Number, ETag: strings.ToLower(strings.Trim(p.Etag, `"`))}
	}
	for i, p := range parts {
		if p.Number == 0 {
			return nil, schema.Errorf(schema.CodeInvalid, `The member "parts" has no part %d. Send each of the %d parts with its ETag.`, i+1, len(parts))
		}
	}
	return parts, nil
}

// compareParts fails unless every part is stored with its size and its ETag. Storage
// itself would say no more than that some part is wrong.
func compareParts(u schema.MultipartUpload, wanted, stored []schema.Part) error {
	for _, w := range wanted {
		i := slices.IndexFunc(stored, func(p schema.Part) bool { return p.Number == w.Number })
		if i < 0 {
			return schema.Errorf(schema.CodeObjectMissing, "Part %d has not arrived. Upload it and complete the upload again.", w.Number)
		}
		if stored[i].Size != u.PartLength(w.Number) {
			return schema.Errorf(schema.CodeObjectMissing, "Part %d has %d bytes instead of %d. Upload it again.", w.Number, stored[i].Size, u.PartLength(w.Number))
		}
		if stored[i].ETag != w.ETag {
			return schema.Errorf(schema.CodeInvalid, "Part %d is there with another ETag. List the parts, or upload it again.", w.Number)
		}
	}
	return nil
}

// alreadyThere is for an upload that storage does not have any more: it fails unless
// the document's file is there.
func (s *server) alreadyThere(ctx context.Context, m postgres.Multipart, id uuid.UUID) error {
	if !waits(m.Status) && m.Status != schema.StatusDeleting {
		return nil // what became of the file is in the document
	}
	if waits(m.Status) {
		results, err := s.confirmer.ForUser(callerOf(ctx).id).Confirm(ctx, []string{m.ObjectKey})
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
	return ended(m.Status)
}
