package api

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// UpdateDocument replaces a document's topics and locks them, so that the classifier does not
// change them.
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
				"You have no topic with the id %s. GET /api/topics lists the topics that a document can have.",
				id)
		}
	}
	setTopics := func(d *schema.Document, now time.Time) schema.Decision {
		return d.SetTopics(ids, now)
	}
	view, err := s.changeCounted(ctx, r.ID, "assigned topics", setTopics)
	if err != nil {
		return nil, err
	}
	return UpdateDocument200JSONResponse{
		Body:    documentOf(view),
		Headers: UpdateDocument200ResponseHeaders{ETag: documentETag(view)},
	}, nil
}

// ReclassifyDocument marks a document to be classified again.
func (s *server) ReclassifyDocument(
	ctx context.Context, r ReclassifyDocumentRequestObject,
) (ReclassifyDocumentResponseObject, error) {
	reclassify := (*schema.Document).Reclassify
	if _, err := s.changeCounted(ctx, r.ID, "classified again", reclassify); err != nil {
		return nil, err
	}
	return ReclassifyDocument202Response{}, nil
}

// changeCounted applies a transition that is allowed only for counted documents, publishes the
// event, and returns the resulting document. If the transition is not allowed, it fails with
// CodeWrongStatus. action completes the sentence "Only … documents can be".
func (s *server) changeCounted(
	ctx context.Context, id uuid.UUID, action string,
	transition func(*schema.Document, time.Time) schema.Decision,
) (postgres.DocumentView, error) {
	var changed bool
	d, err := s.transition(ctx, id, func(d *schema.Document, now time.Time) schema.Decision {
		decision := transition(d, now)
		changed = decision.Changed
		return decision
	})
	if err != nil {
		return postgres.DocumentView{}, err
	}
	if !changed {
		return postgres.DocumentView{}, schema.Errorf(schema.CodeWrongStatus,
			"The document is %s. Only uploaded, classified and failed documents can be %s.",
			d.Status, action)
	}
	s.publisher.TryPublish(ctx, []schema.Document{d})
	return s.userDB(ctx).Document(ctx, id)
}
