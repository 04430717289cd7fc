package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
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
		changed = p.IfNoneMatch == nil || !matches(*p.IfNoneMatch, etag)
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
	d, err := s.transition(ctx, r.ID, (*schema.Document).Delete)
	if err != nil {
		return nil, err
	}
	s.publisher.TryPublish(ctx, []schema.Document{d})
	return DeleteDocument202Response{}, nil
}

// transition applies a transition, which does not change the quota, to one of the caller's
// documents and returns the resulting document. It fails with CodeNotFound if the caller has no
// such document.
func (s *server) transition(
	ctx context.Context, id uuid.UUID, decide func(d *schema.Document, now time.Time) schema.Decision,
) (schema.Document, error) {
	docs, err := s.userDB(ctx).TransitionWithoutQuota(ctx, []uuid.UUID{id}, decide)
	if err != nil {
		return schema.Document{}, err
	}
	if len(docs) == 0 || docs[0].GoneAt != nil {
		return schema.Document{}, schema.Errorf(schema.CodeNotFound, "There is no such document.")
	}
	return docs[0], nil
}

func documentOf(v postgres.DocumentView) Document {
	d := Document{
		ID:           v.ID,
		Filename:     v.Filename,
		ContentType:  v.ContentType,
		Size:         v.Size,
		Status:       DocumentStatus(v.Status),
		Reason:       nilIfEmpty(DocumentReason(v.Reason)),
		Topics:       make([]DocumentTopic, len(v.Topics)),
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

// documentETag returns the entity tag of a document. It depends on the version and also on the
// topics, because renaming or deleting a topic changes the response but not the version.
func documentETag(v postgres.DocumentView) string {
	if len(v.Topics) == 0 {
		return fmt.Sprintf(`"%d"`, v.Version)
	}
	topics := fnv.New64a()
	_ = json.NewEncoder(topics).Encode(v.Topics) // never fails
	return fmt.Sprintf(`"%d-%x"`, v.Version, topics.Sum64())
}

// matches reports whether the If-None-Match header contains etag. It compares weakly (RFC 9110,
// section 13.1.2), because a proxy may have turned our tag into a weak one.
func matches(ifNoneMatch, etag string) bool {
	for candidate := range strings.SplitSeq(ifNoneMatch, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == etag {
			return true
		}
	}
	return false
}
