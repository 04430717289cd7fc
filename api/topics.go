package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"intray/infra/postgres"
	"intray/schema"
)

// ListTopics returns the system topics and the caller's own topics, or 304 if they have
// not changed.
func (s *server) ListTopics(
	ctx context.Context, r ListTopicsRequestObject,
) (ListTopicsResponseObject, error) {
	topics, err := s.userDB(ctx).Topics(ctx)
	if err != nil {
		return nil, err
	}
	body := topicPage(topics)
	etag := bodyETag(body)
	if unchanged(r.Params.IfNoneMatch, etag) {
		return ListTopics304Response{Headers: NotModifiedResponseHeaders{ETag: etag}}, nil
	}
	return ListTopics200JSONResponse{
		Body: body, Headers: ListTopics200ResponseHeaders{ETag: etag},
	}, nil
}

// CreateTopic creates a topic of the caller.
func (s *server) CreateTopic(
	ctx context.Context, r CreateTopicRequestObject,
) (CreateTopicResponseObject, error) {
	topic, err := s.createTopic(ctx, schema.ScopeUser, *r.Body)
	if err != nil {
		return nil, err
	}
	return CreateTopic201JSONResponse{TopicCreatedJSONResponse{
		Body:    topic,
		Headers: TopicCreatedResponseHeaders{Location: "/api/topics/" + topic.ID.String()},
	}}, nil
}

// UpdateTopic changes a topic of the caller.
func (s *server) UpdateTopic(
	ctx context.Context, r UpdateTopicRequestObject,
) (UpdateTopicResponseObject, error) {
	topic, err := s.updateTopic(ctx, schema.ScopeUser, r.ID, *r.Body)
	if err != nil {
		return nil, err
	}
	return UpdateTopic200JSONResponse{TopicJSONResponse(topic)}, nil
}

// DeleteTopic deletes a topic of the caller.
func (s *server) DeleteTopic(
	ctx context.Context, r DeleteTopicRequestObject,
) (DeleteTopicResponseObject, error) {
	if err := s.userDB(ctx).DeleteTopic(ctx, schema.ScopeUser, r.ID); err != nil {
		return nil, err
	}
	s.hintTopics(ctx, schema.ScopeUser)
	return DeleteTopic204Response{}, nil
}

func (s *server) createTopic(
	ctx context.Context, scope schema.Scope, n NewTopic,
) (Topic, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Topic{}, fmt.Errorf("generate a topic id: %w", err)
	}
	patch, err := cleanTopic(TopicPatch{
		Name: &n.Name, Description: n.Description, Keywords: n.Keywords,
	})
	if err != nil {
		return Topic{}, err
	}
	t := schema.Topic{ID: id, Name: *patch.Name}
	if scope == schema.ScopeUser {
		owner := callerOf(ctx).id
		t.UserID = &owner
	}
	if patch.Description != nil {
		t.Description = *patch.Description
	}
	if patch.Keywords != nil {
		t.Keywords = *patch.Keywords
	}
	if err := s.topicDB(ctx, scope).CreateTopic(ctx, t); err != nil {
		return Topic{}, err
	}
	s.hintTopics(ctx, scope)
	return topicOf(t), nil
}

func (s *server) updateTopic(
	ctx context.Context, scope schema.Scope, id uuid.UUID, p TopicPatch,
) (Topic, error) {
	patch, err := cleanTopic(p)
	if err != nil {
		return Topic{}, err
	}
	suggested := false // a topic that a person has changed is no longer a suggestion
	patch.Suggested = &suggested
	t, err := s.topicDB(ctx, scope).UpdateTopic(ctx, scope, id, patch)
	if err != nil {
		return Topic{}, err
	}
	s.hintTopics(ctx, scope)
	return topicOf(t), nil
}

// topicDB returns the caller's database for changes of topics. Changes of system topics are in the
// audit trail, with the address of the client.
func (s *server) topicDB(ctx context.Context, scope schema.Scope) *postgres.DB {
	if scope == schema.ScopeSystem {
		return s.userDB(ctx).From(clientOf(ctx))
	}
	return s.userDB(ctx)
}

// topicExists fails with CodeNotFound unless the caller can see a topic with this scope and id.
func (s *server) topicExists(ctx context.Context, scope schema.Scope, id uuid.UUID) error {
	topics, err := s.userDB(ctx).Topics(ctx)
	if err != nil {
		return err
	}
	wanted := func(t schema.Topic) bool { return t.ID == id && t.Scope() == scope }
	if !slices.ContainsFunc(topics, wanted) {
		return schema.Errorf(schema.CodeNotFound, "There is no such topic.")
	}
	return nil
}

// cleanTopic trims the texts, converts them to Unicode normalization form C and removes duplicate
// keywords. It fails with CodeInvalid for errors that the contract's schemas cannot express: texts
// that consist of spaces only, and control characters.
func cleanTopic(p TopicPatch) (postgres.TopicPatch, error) {
	var clean postgres.TopicPatch
	if p.Name != nil {
		name, err := cleanText("name", *p.Name, 1, schema.MaxTopicName, false)
		if err != nil {
			return clean, err
		}
		clean.Name = &name
	}
	if p.Description != nil {
		description, err := cleanText(
			"description", *p.Description, 0, schema.MaxTopicDescription, true)
		if err != nil {
			return clean, err
		}
		clean.Description = &description
	}
	if p.Keywords != nil {
		keywords := make([]string, 0, len(*p.Keywords))
		seen := make(map[string]bool, len(*p.Keywords))
		for _, k := range *p.Keywords {
			keyword, err := cleanText("keywords", k, 1, schema.MaxTopicKeyword, false)
			if err != nil {
				return clean, err
			}
			if key := schema.FoldCase(keyword); !seen[key] {
				seen[key] = true
				keywords = append(keywords, keyword)
			}
		}
		clean.Keywords = &keywords
	}
	return clean, nil
}

// cleanText returns the text trimmed and in Unicode normalization form C. It fails with CodeInvalid
// if the text then has fewer than minLength or more than maxLength characters, or contains control
// characters. Line breaks and tabs are allowed if multiline is set.
func cleanText(member, text string, minLength, maxLength int, multiline bool) (string, error) {
	text = strings.TrimSpace(norm.NFC.String(text))
	if n := utf8.RuneCountInString(text); n < minLength || n > maxLength {
		return "", schema.Errorf(schema.CodeInvalid,
			"The member %q must have %d to %d characters.", member, minLength, maxLength).
			With(schema.Facts{Pointer: "/" + member})
	}
	notAllowed := func(r rune) bool {
		if multiline && strings.ContainsRune("\n\r\t", r) {
			return false
		}
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
	}
	if strings.ContainsFunc(text, notAllowed) {
		return "", schema.Errorf(schema.CodeInvalid,
			"The member %q must not contain control characters "+
				"or characters that change the text direction.", member).
			With(schema.Facts{Pointer: "/" + member})
	}
	return text, nil
}

func topicPage(topics []schema.Topic) TopicPage {
	page := TopicPage{Items: make([]Topic, len(topics))}
	for i, t := range topics {
		page.Items[i] = topicOf(t)
	}
	return page
}

func topicOf(t schema.Topic) Topic {
	return Topic{
		ID:          t.ID,
		Name:        t.Name,
		Description: t.Description,
		Keywords:    append([]string{}, t.Keywords...), // [] instead of null if there are none
		Scope:       TopicScope(t.Scope()),
		Suggested:   t.Suggested,
	}
}
