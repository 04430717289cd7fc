package api

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// GetDocument returns a document, or 304 if it has not changed. If the client asks to wait,
// GetDocument waits for a change before it returns 304.
func (s *server) GetDocument(
	ctx context.Context, r GetDocumentRequestObject,
) (GetDocumentResponseObject, error) {
	var (
		view    postgres.DocumentView
		etag    string
		changed bool
	)
	p := r.Params
	wait := s.waitTime(p.IfNoneMatch, p.Prefer)
	of := waitKey{user: callerOf(ctx).id, document: r.ID}
	err := s.await(ctx, of, wait, func() (int64, bool, error) {
		var err error
		if view, err = s.userDB(ctx).Document(ctx, r.ID); err != nil {
			return 0, false, err
		}
		etag = documentETag(view)
		changed = !unchanged(p.IfNoneMatch, etag)
		return view.Version, changed, nil
	})
	if err != nil {
		return nil, err
	}
	retry := retryAfter(inProgress(view), wait)
	if !changed {
		return GetDocument304Response{
			Headers: GetDocument304ResponseHeaders{ETag: etag, RetryAfter: retry},
		}, nil
	}
	return GetDocument200JSONResponse{
		Body:    documentOf(view),
		Headers: GetDocument200ResponseHeaders{ETag: etag, RetryAfter: retry},
	}, nil
}

// inProgress reports whether the status of a document is about to change without a further request.
func inProgress(v postgres.DocumentView) bool {
	return v.Status == schema.StatusPending || v.Status == schema.StatusUploaded
}

// ConfirmDocument confirms one document. It runs the same code as the consumer that handles bucket
// events.
func (s *server) ConfirmDocument(
	ctx context.Context, r ConfirmDocumentRequestObject,
) (ConfirmDocumentResponseObject, error) {
	db := s.userDB(ctx)
	view, err := db.Document(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	results, err := s.confirmer.ForUser(callerOf(ctx).id).Confirm(ctx, []string{view.ObjectKey})
	if err != nil {
		return nil, err
	}
	if err := results[0].Err; err != nil {
		return nil, fmt.Errorf("confirm document %s: %w", r.ID, err)
	}
	// Read the document again: confirm may have changed its status, and classify its topics.
	if view, err = db.Document(ctx, r.ID); err != nil {
		return nil, err
	}
	// A missing object is an error only in a status in which the document should have one.
	if results[0].Found {
		return ConfirmDocument200JSONResponse(documentOf(view)), nil
	}
	switch {
	case view.Status == schema.StatusPending || view.Status == schema.StatusExpired:
		return nil, schema.Errorf(schema.CodeObjectMissing,
			"The document is %s and storage has no file for it. "+
				"PUT the file to its upload URL and try again.",
			view.Status)
	case view.Status.Counted():
		return nil, schema.Errorf(schema.CodeObjectMissing,
			"The document is %s, but storage no longer has its file. Ask the operator.",
			view.Status)
	}
	return ConfirmDocument200JSONResponse(documentOf(view)), nil
}

// DeleteDocument marks the document as deleting. The sweeper then deletes its object.
func (s *server) DeleteDocument(
	ctx context.Context, r DeleteDocumentRequestObject,
) (DeleteDocumentResponseObject, error) {
	d, err := s.transition(ctx, r.ID, r.Params.IfMatch, (*schema.Document).Delete)
	// A repeated request, whose version is outdated by the first one, changes nothing.
	if err != nil && d.Status != schema.StatusDeleting {
		return nil, err
	}
	s.publisher.TryPublish(ctx, []schema.Document{d})
	return DeleteDocument202Response{}, nil
}

// transition applies a transition, which does not change the quota, to one of the caller's
// documents and returns the resulting document. It fails with CodeNotFound if the caller has no
// such document, and with CodeVersionMismatch if ifMatch, the If-Match header, names only other
// versions.
func (s *server) transition(
	ctx context.Context, id uuid.UUID, ifMatch *string,
	decide func(d *schema.Document, now time.Time) schema.Decision,
) (schema.Document, error) {
	mismatch := false
	docs, err := s.userDB(ctx).TransitionWithoutQuota(ctx, []uuid.UUID{id},
		func(d *schema.Document, now time.Time) schema.Decision {
			if mismatch = ifMatch != nil && !matches(*ifMatch, versionETag(d.Version)); mismatch {
				return schema.Decision{}
			}
			return decide(d, now)
		})
	switch {
	case err != nil:
		return schema.Document{}, err
	case len(docs) == 0 || docs[0].GoneAt != nil:
		return schema.Document{}, errNoDocument
	case mismatch:
		return docs[0], schema.Errorf(schema.CodeVersionMismatch,
			"The document has changed: its version is now %d. Read it again, then repeat the request "+
				"with the new ETag.", docs[0].Version)
	}
	return docs[0], nil
}

var errNoDocument = schema.Errorf(schema.CodeNotFound, "There is no such document.")

func documentOf(v postgres.DocumentView) Document {
	d := Document{
		ID:           v.ID,
		Version:      v.Version,
		Filename:     v.Filename,
		ContentType:  v.ContentType,
		DetectedType: v.DetectedType,
		Size:         v.Size,
		Sha256:       nilIfEmpty(hex.EncodeToString(v.SHA256)),
		DuplicateOf:  v.DuplicateOf,
		Status:       DocumentStatus(v.Status),
		Reason:       nilIfEmpty(DocumentReason(v.Reason)),
		Retrying:     v.Retrying,
		Topics:       make([]DocumentTopic, len(v.Topics)),
		TopicsLocked: v.TopicsLocked,
		CreatedAt:    v.CreatedAt.UTC(),
		UploadedAt:   utc(v.UploadedAt),
		ClassifiedAt: utc(v.ClassifiedAt),
	}
	for i, t := range v.Topics {
		d.Topics[i] = DocumentTopic{
			ID:         t.ID,
			Name:       t.Name,
			Scope:      TopicScope(t.Scope),
			Confidence: t.Confidence,
			Suggested:  t.Suggested,
		}
	}
	slices.SortStableFunc(d.Topics, func(a, b DocumentTopic) int {
		return cmp.Compare(b.Confidence, a.Confidence)
	})
	if v.Status == schema.StatusPending {
		d.Upload = &DocumentUpload{
			Multipart: v.Multipart, ExpiresAt: v.URLIssuedAt.Add(schema.ExpireAfter).UTC(),
		}
	}
	if v.Provider != "" {
		d.ClassifiedBy = &Classifier{Provider: v.Provider, Model: v.Model}
	}
	return d
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	inUTC := t.UTC()
	return &inUTC
}

// documentETag returns the entity tag of a document, which is its version in quotes. Renaming a
// topic does not change it.
func documentETag(v postgres.DocumentView) string { return versionETag(v.Version) }

func versionETag(version int64) string { return fmt.Sprintf(`"%d"`, version) }

// matches reports whether an If-Match or If-None-Match header contains etag. It compares weakly,
// because a proxy that compresses responses may have turned our tag into a weak one. RFC 9110
// demands a strong comparison for If-Match, but there the tag identifies a version of a document
// and not the bytes of a response.
func matches(header, etag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == etag {
			return true
		}
	}
	return false
}
