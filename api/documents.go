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
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"intray/infra/postgres"
	"intray/schema"
)

// defaultLimit is how many documents a page holds if the request does not say.
const defaultLimit = 50

// ListDocuments lists the caller's documents, newest first, or says that the page
// is still as the client knows it, at once or when it has waited.
func (s *server) ListDocuments(
	ctx context.Context, r ListDocumentsRequestObject,
) (ListDocumentsResponseObject, error) {
	p := r.Params
	filter, err := listFilter(p)
	if err != nil {
		return nil, err
	}
	var (
		views   []postgres.DocumentView
		next    *postgres.Cursor
		etag    string
		changed bool
	)
	wait := s.waitOf(p.IfNoneMatch, p.Prefer)
	err = s.await(ctx, interest{user: callerOf(ctx).id}, wait, func() (int64, bool, error) {
		var err error
		if views, next, err = s.userDB(ctx).Documents(ctx, filter); err != nil {
			return 0, false, err
		}
		etag = pageETag(views, next)
		changed = p.IfNoneMatch == nil || !matches(*p.IfNoneMatch, etag)
		return 0, changed, nil // any version may be of a document of this page
	})
	if err != nil {
		return nil, err
	}
	retry := retryAfter(slices.ContainsFunc(views, inTransit), wait)
	if !changed {
		return ListDocuments304Response{
			Headers: ListDocuments304ResponseHeaders{ETag: etag, RetryAfter: retry},
		}, nil
	}
	return ListDocuments200JSONResponse{
		Body:    pageOf(views, next),
		Headers: ListDocuments200ResponseHeaders{ETag: etag, RetryAfter: retry},
	}, nil
}

// listFilter returns the filter that the query parameters of a listing ask for.
func listFilter(p ListDocumentsParams) (postgres.Filter, error) {
	filter := postgres.Filter{Limit: defaultLimit}
	if p.Limit != nil {
		filter.Limit = *p.Limit
	}
	if p.Status != nil {
		filter.Status = schema.Status(*p.Status)
	}
	if p.Topic != nil {
		filter.Topic = *p.Topic
	}
	if p.Q != nil {
		if !utf8.ValidString(*p.Q) || strings.ContainsRune(*p.Q, 0) {
			return filter, schema.Errorf(schema.CodeInvalid,
				`The query parameter "q" must be text in UTF-8.`)
		}
		filter.Query = norm.NFC.String(*p.Q) // as filenames are kept
	}
	if p.Cursor != nil {
		last, err := decodeCursor(*p.Cursor)
		if err != nil {
			return filter, err
		}
		filter.After = &postgres.Cursor{ID: last}
	}
	return filter, nil
}

func pageOf(views []postgres.DocumentView, next *postgres.Cursor) DocumentPage {
	page := DocumentPage{Items: make([]Document, len(views))}
	for i, v := range views {
		page.Items[i] = documentOf(v)
	}
	if next != nil {
		page.NextCursor = present(encodeCursor(next.ID))
	}
	return page
}

// GetDocument shows one document, or only that it is still as the client knows
// it, at once or when it has waited.
func (s *server) GetDocument(
	ctx context.Context, r GetDocumentRequestObject,
) (GetDocumentResponseObject, error) {
	var (
		view    postgres.DocumentView
		etag    string
		changed bool
	)
	p := r.Params
	wait := s.waitOf(p.IfNoneMatch, p.Prefer)
	in := interest{user: callerOf(ctx).id, document: r.ID}
	err := s.await(ctx, in, wait, func() (int64, bool, error) {
		var err error
		if view, err = s.userDB(ctx).Document(ctx, r.ID); err != nil {
			return 0, false, err
		}
		etag = etagOf(view)
		changed = p.IfNoneMatch == nil || !matches(*p.IfNoneMatch, etag)
		return view.Version, changed, nil
	})
	if err != nil {
		return nil, err
	}
	retry := retryAfter(inTransit(view), wait)
	if !changed {
		return GetDocument304Response{
			Headers: GetDocument304ResponseHeaders{ETag: etag, RetryAfter: retry},
		}, nil
	}
	return GetDocument200JSONResponse{
		Body: documentOf(view), Headers: GetDocument200ResponseHeaders{ETag: etag, RetryAfter: retry},
	}, nil
}

// inTransit reports whether a document is on its way to another status by itself.
func inTransit(v postgres.DocumentView) bool {
	return v.Status == schema.StatusPending || v.Status == schema.StatusUploaded
}

// ConfirmDocument runs the code of the event path for one document, without any event.
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
	// The topics may be of this very moment too.
	if view, err = db.Document(ctx, r.ID); err != nil {
		return nil, err
	}
	// Of a document that was given up, the object is meant to be gone.
	awaited := view.Status == schema.StatusPending || view.Status == schema.StatusExpired ||
		view.Status.Counted()
	if !results[0].Found && awaited {
		return nil, schema.Errorf(schema.CodeObjectMissing,
			"The document is %s and no file is there. PUT the file to its upload URL and try again.",
			view.Status)
	}
	return ConfirmDocument200JSONResponse(documentOf(view)), nil
}

// DeleteDocument gives the document up. Its object goes soon after.
func (s *server) DeleteDocument(
	ctx context.Context, r DeleteDocumentRequestObject,
) (DeleteDocumentResponseObject, error) {
	now := time.Now().UTC()
	d, err := s.transition(ctx, r.ID, func(d *schema.Document, _ *schema.Quota) schema.Decision {
		return d.Delete(now)
	})
	if err != nil {
		return nil, err
	}
	s.publisher.TryPublish(ctx, []schema.Document{d})
	return DeleteDocument202Response{}, nil
}

// transition carries out a transition of one of the caller's documents and returns
// the document as it is then. It fails with CodeNotFound where there is none.
func (s *server) transition(ctx context.Context, id uuid.UUID,
	decide func(*schema.Document, *schema.Quota) schema.Decision,
) (schema.Document, error) {
	docs, err := s.userDB(ctx).Transition(ctx, []uuid.UUID{id}, decide)
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
		ID: v.ID, Filename: v.Filename, ContentType: v.ContentType, Size: v.Size,
		Status: DocumentStatus(v.Status), Reason: present(DocumentReason(v.Reason)),
		Topics: make([]DocumentTopic, len(v.Topics)), CreatedAt: v.CreatedAt.UTC(),
		UploadedAt: utc(v.UploadedAt), ClassifiedAt: utc(v.ClassifiedAt),
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

// etagOf names what an answer shows: the document's version, and its topics,
// which can be renamed or deleted while the document stays as it is.
func etagOf(v postgres.DocumentView) string {
	if len(v.Topics) == 0 {
		return fmt.Sprintf(`"%d"`, v.Version)
	}
	topics := fnv.New64a()
	_ = json.NewEncoder(topics).Encode(v.Topics) // neither a hash nor these values can fail
	return fmt.Sprintf(`"%d-%x"`, v.Version, topics.Sum64())
}

// pageETag names what a page shows. It costs a hash of what was read, some
// 10 µs, and no query.
func pageETag(views []postgres.DocumentView, next *postgres.Cursor) string {
	page := fnv.New128a()
	for _, v := range views {
		page.Write(v.ID[:])
		page.Write([]byte(etagOf(v)))
	}
	if next != nil {
		page.Write(next.ID[:])
	}
	return fmt.Sprintf(`"%x"`, page.Sum(nil))
}

// matches reports whether an If-None-Match has the entity tag. The comparison is
// weak (RFC 9110, section 13.1.2), for a proxy may have weakened ours.
func matches(ifNoneMatch, etag string) bool {
	for candidate := range strings.SplitSeq(ifNoneMatch, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == etag {
			return true
		}
	}
	return false
}
