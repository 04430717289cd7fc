package api

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// UpdateDocument sets a document's topics by hand and locks them.
func (s *server) UpdateDocument(ctx context.Context, r UpdateDocumentRequestObject) (UpdateDocumentResponseObject, error) {
	visible, err := s.mine(ctx).Topics(ctx)
	if err != nil {
		return nil, err
	}
	ids := slices.Clone(r.Body.TopicIds)
	for _, id := range ids {
		if !slices.ContainsFunc(visible, func(t schema.Topic) bool { return t.ID == id }) {
			return nil, schema.Errorf(schema.CodeUnknownTopic, "You have no topic %s. GET /api/topics lists those that a document can get.", id)
		}
	}
	view, err := s.change(ctx, r.ID, "given topics", func(d *schema.Document, now time.Time) schema.Decision {
		return d.SetTopics(ids, now)
	})
	if err != nil {
		return nil, err
	}
	return UpdateDocument200JSONResponse{
		Body: documentOf(view), Headers: UpdateDocument200ResponseHeaders{ETag: etagOf(view)},
	}, nil
}

// ReclassifyDocument sends a document back to be classified once more.
func (s *server) ReclassifyDocument(ctx context.Context, r ReclassifyDocumentRequestObject) (ReclassifyDocumentResponseObject, error) {
	if _, err := s.change(ctx, r.ID, "classified again", (*schema.Document).Reclassify); err != nil {
		return nil, err
	}
	return ReclassifyDocument202Response{}, nil
}

// change carries out a transition that only counted documents have, tells it, and
// returns the document as it is then. what completes "cannot be …".
func (s *server) change(ctx context.Context, id uuid.UUID, what string, transition func(*schema.Document, time.Time) schema.Decision,
) (postgres.DocumentView, error) {
	now := time.Now().UTC()
	var changed bool
	docs, err := s.mine(ctx).Transition(ctx, []uuid.UUID{id}, func(d *schema.Document, _ *schema.Quota) schema.Decision {
		decision := transition(d, now)
		changed = decision.Changed
		return decision
	})
	switch {
	case err != nil:
		return postgres.DocumentView{}, err
	case len(docs) == 0 || docs[0].GoneAt != nil:
		return postgres.DocumentView{}, schema.Errorf(schema.CodeNotFound, "There is no such document.")
	case !changed:
		return postgres.DocumentView{}, schema.Errorf(schema.CodeWrongStatus,
			"The document is %s. Only documents that are uploaded, classified or failed can be %s.", docs[0].Status, what)
	}
	s.publisher.TryPublish(ctx, docs)
	return s.mine(ctx).Document(ctx, id)
}
