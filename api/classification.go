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
func (s *server) UpdateDocument(
	ctx context.Context, r UpdateDocumentRequestObject,
) (UpdateDocumentResponseObject, error) {
	visible, err := s.userDB(ctx).Topics(ctx)
	if err != nil {
		return nil, err
	}
	ids := slices.Clone(r.Body.TopicIds)
	for _, id := range ids {
		if !slices.ContainsFunc(visible, func(t schema.Topic) bool { return t.ID == id }) {
			return nil, schema.Errorf(schema.CodeUnknownTopic,
				"You have no topic %s. GET /api/topics lists those that a document can get.", id)
		}
	}
	setTopics := func(d *schema.Document, now time.Time) schema.Decision {
		return d.SetTopics(ids, now)
	}
	view, err := s.change(ctx, r.ID, "given topics", setTopics)
	if err != nil {
		return nil, err
	}
	return UpdateDocument200JSONResponse{
		Body: documentOf(view), Headers: UpdateDocument200ResponseHeaders{ETag: etagOf(view)},
	}, nil
}

// ReclassifyDocument sends a document back to be classified once more.
func (s *server) ReclassifyDocument(
	ctx context.Context, r ReclassifyDocumentRequestObject,
) (ReclassifyDocumentResponseObject, error) {
	if _, err := s.change(ctx, r.ID, "classified again", (*schema.Document).Reclassify); err != nil {
		return nil, err
	}
	return ReclassifyDocument202Response{}, nil
}

// change carries out a transition that only counted documents have, publishes it, and
// returns the document as it is then. what completes "cannot be …".
func (s *server) change(ctx context.Context, id uuid.UUID, what string,
	transition func(*schema.Document, time.Time) schema.Decision,
) (postgres.DocumentView, error) {
	now := time.Now().UTC()
	var changed bool
	d, err := s.transition(ctx, id, func(d *schema.Document, _ *schema.Quota) schema.Decision {
		decision := transition(d, now)
		changed = decision.Changed
		return decision
	})
	if err != nil {
		return postgres.DocumentView{}, err
	}
	if !changed {
		return postgres.DocumentView{}, schema.Errorf(schema.CodeWrongStatus,
			"The document is %s. Only documents that are uploaded, classified or failed can be %s.",
			d.Status, what)
	}
	s.publisher.TryPublish(ctx, []schema.Document{d})
	return s.userDB(ctx).Document(ctx, id)
}
