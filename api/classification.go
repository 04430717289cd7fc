package api

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// UpdateDocument renames a document, or replaces its topics and locks them, so that the classifier
// does not change them.
func (s *server) UpdateDocument(
	ctx context.Context, r UpdateDocumentRequestObject,
) (UpdateDocumentResponseObject, error) {
	edit := schema.Edit{Topics: r.Body.TopicIds}
	if r.Body.Filename != nil {
		name, err := cleanFilename(*r.Body.Filename)
		if err != nil {
			return nil, err
		}
		edit.Filename = &name
	}
	if edit.Topics != nil {
		if err := s.checkTopics(ctx, *edit.Topics); err != nil {
			return nil, err
		}
	}
	view, err := s.changeCounted(ctx, r.ID, r.Params.IfMatch, "changed",
		func(d *schema.Document, now time.Time) schema.Decision { return d.Edit(edit, now) })
	if err != nil {
		return nil, err
	}
	return UpdateDocument200JSONResponse{
		Body:    documentOf(view),
		Headers: UpdateDocument200ResponseHeaders{ETag: documentETag(view)},
	}, nil
}

// checkTopics fails with CodeUnknownTopic if the caller cannot assign one of the topics.
func (s *server) checkTopics(ctx context.Context, ids []uuid.UUID) error {
	visible, err := s.userDB(ctx).Topics(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if !slices.ContainsFunc(visible, func(t schema.Topic) bool { return t.ID == id }) {
			return schema.Errorf(schema.CodeUnknownTopic,
				"You have no topic with the id %s. GET /api/topics lists the topics that a document can have.",
				id).With(schema.Facts{Pointer: "/topic_ids"})
		}
	}
	return nil
}

// ReclassifyDocument marks a document to be classified again.
func (s *server) ReclassifyDocument(
	ctx context.Context, r ReclassifyDocumentRequestObject,
) (ReclassifyDocumentResponseObject, error) {
	_, err := s.changeCounted(ctx, r.ID, r.Params.IfMatch, "classified again",
		(*schema.Document).Reclassify)
	if err != nil {
		return nil, err
	}
	return ReclassifyDocument202Response{}, nil
}

// changeCounted applies a transition that is allowed only for counted documents, which stay
// counted, publishes the event, and returns the resulting document. If the transition is not
// allowed, it fails with CodeWrongStatus, and with CodeVersionMismatch as [server.transition] does.
// action completes the sentence "Only … documents can be".
func (s *server) changeCounted(
	ctx context.Context, id uuid.UUID, ifMatch *string, action string,
	transition func(*schema.Document, time.Time) schema.Decision,
) (postgres.DocumentView, error) {
	d, err := s.transition(ctx, id, ifMatch, transition)
	if err != nil {
		return postgres.DocumentView{}, err
	}
	if !d.Status.Counted() {
		return postgres.DocumentView{}, notCounted(d.Status, action)
	}
	s.publisher.TryPublish(ctx, []schema.Document{d})
	return s.userDB(ctx).Document(ctx, id)
}

func notCounted(s schema.Status, action string) error {
	return schema.Errorf(schema.CodeWrongStatus,
		"The document is %s. Only uploaded, classified and failed documents can be %s.", s, action)
}
