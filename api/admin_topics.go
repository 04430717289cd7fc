package api

import (
	"context"

	"intray/schema"
)

// ListSystemTopics returns the topics that all users share, or 304 if they have not changed.
func (s *server) ListSystemTopics(
	ctx context.Context, r ListSystemTopicsRequestObject,
) (ListSystemTopicsResponseObject, error) {
	topics, err := s.userDB(ctx).SystemTopics(ctx)
	if err != nil {
		return nil, err
	}
	body := topicPage(topics)
	etag := bodyETag(body)
	if unchanged(r.Params.IfNoneMatch, etag) {
		return ListSystemTopics304Response{Headers: NotModifiedResponseHeaders{ETag: etag}}, nil
	}
	return ListSystemTopics200JSONResponse{
		Body: body, Headers: ListSystemTopics200ResponseHeaders{ETag: etag},
	}, nil
}

// CreateSystemTopic creates a system topic.
func (s *server) CreateSystemTopic(
	ctx context.Context, r CreateSystemTopicRequestObject,
) (CreateSystemTopicResponseObject, error) {
	topic, err := s.createTopic(ctx, schema.ScopeSystem, *r.Body)
	if err != nil {
		return nil, err
	}
	return CreateSystemTopic201JSONResponse{TopicCreatedJSONResponse{
		Body:    topic,
		Headers: TopicCreatedResponseHeaders{Location: "/api/admin/topics/" + topic.ID.String()},
	}}, nil
}

// UpdateSystemTopic changes a system topic.
func (s *server) UpdateSystemTopic(
	ctx context.Context, r UpdateSystemTopicRequestObject,
) (UpdateSystemTopicResponseObject, error) {
	topic, err := s.updateTopic(ctx, schema.ScopeSystem, r.ID, *r.Body)
	if err != nil {
		return nil, err
	}
	return UpdateSystemTopic200JSONResponse{TopicJSONResponse(topic)}, nil
}

// DeleteSystemTopic deletes a system topic.
func (s *server) DeleteSystemTopic(
	ctx context.Context, r DeleteSystemTopicRequestObject,
) (DeleteSystemTopicResponseObject, error) {
	const scope = schema.ScopeSystem
	if err := s.topicDB(ctx, scope).DeleteTopic(ctx, scope, r.ID); err != nil {
		return nil, err
	}
	s.hintTopics(ctx, scope)
	return DeleteSystemTopic204Response{}, nil
}
