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

// ListTopics lists the system topics and the caller's own.
func (s *server) ListTopics(ctx context.Context, _ ListTopicsRequestObject) (ListTopicsResponseObject, error) {
	topics, err := s.userDB(ctx).Topics(ctx)
	if err != nil {
		return nil, err
	}
	return ListTopics200JSONResponse(topicPage(topics)), nil
}

// CreateTopic makes a topic of the caller's own.
func (s *server) CreateTopic(ctx context.Context, r CreateTopicRequestObject) (CreateTopicResponseObject, error) {
	topic, err := s.createTopic(ctx, schema.ScopeUser, *r.Body)
	if err != nil {
		return nil, err
	}
	return CreateTopic201JSONResponse{TopicCreatedJSONResponse{
		Body: topic, Headers: TopicCreatedResponseHeaders{Location: "/api/topics/" + topic.ID.String()},
	}}, nil
}

// UpdateTopic changes a topic of the caller's own.
func (s *server) UpdateTopic(ctx context.Context, r UpdateTopicRequestObject) (UpdateTopicResponseObject, error) {
	topic, err := s.updateTopic(ctx, schema.ScopeUser, r.ID, *r.Body)
	if err != nil {
		return nil, err
	}
	return UpdateTopic200JSONResponse{TopicJSONResponse(topic)}, nil
}

// DeleteTopic deletes a topic of the caller's own.
func (s *server) DeleteTopic(ctx context.Context, r DeleteTopicRequestObject) (DeleteTopicResponseObject, error) {
	if err := s.userDB(ctx).DeleteTopic(ctx, schema.ScopeUser, r.ID); err != nil {
		return nil, err
	}
	return DeleteTopic204Response{}, nil
}

func (s *server) createTopic(ctx context.Context, scope schema.Scope, n NewTopic) (Topic, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Topic{}, fmt.Errorf("make a topic id: %w", err)
	}
	patch, err := cleanTopic(TopicPatch{Name: &n.Name, Description: n.Description, Keywords: n.Keywords})
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
	if err := s.userDB(ctx).CreateTopic(ctx, t); err != nil {
		return Topic{}, err
	}
	return topicOf(t), nil
}

func (s *server) updateTopic(ctx context.Context, scope schema.Scope, id uuid.UUID, p TopicPatch) (Topic, error) {
	patch, err := cleanTopic(p)
	if err != nil {
		return Topic{}, err
	}
	taken := false // over by a person, who has changed it
	patch.Suggested = &taken
	t, err := s.userDB(ctx).UpdateTopic(ctx, scope, id, patch)
	if err != nil {
		return Topic{}, err
	}
	return topicOf(t), nil
}

// topicExists fails with CodeNotFound unless the caller sees a topic of the scope
// with this id.
func (s *server) topicExists(ctx context.Context, scope schema.Scope, id uuid.UUID) error {
	topics, err := s.userDB(ctx).Topics(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(topics, func(t schema.Topic) bool { return t.ID == id && t.Scope() == scope }) {
		return schema.Errorf(schema.CodeNotFound, "There is no such topic.")
	}
	return nil
}

// cleanTopic trims the texts, brings them to Unicode normalization form C, drops
// keywords that are there twice, and refuses what the contract's schemas cannot
// tell: texts of spaces alone, and control characters.
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
		description, err := cleanText("description", *p.Description, 0, schema.MaxTopicDescription, true)
		if err != nil {
			return clean, err
		}
		clean.Description = &description
	}
	if p.Keywords != nil {
		keywords := make([]string, 0, len(*p.Keywords))
		for _, k := range *p.Keywords {
			keyword, err := cleanText("keywords", k, 1, schema.MaxTopicKeyword, false)
			if err != nil {
				return clean, err
			}
			if !slices.ContainsFunc(keywords, func(other string) bool { return strings.EqualFold(other, keyword) }) {
				keywords = append(keywords, keyword)
			}
		}
		clean.Keywords = &keywords
	}
	return clean, nil
}

func cleanText(member, text string, least, most int, lines bool) (string, error) {
	text = strings.TrimSpace(norm.NFC.String(text))
	if n := utf8.RuneCountInString(text); n < least || n > most {
		return "", schema.Errorf(schema.CodeInvalid, "The member %q must have %d to %d characters.", member, least, most)
	}
	control := func(r rune) bool {
		return (unicode.IsControl(r) && !(lines && strings.ContainsRune("\n\r\t", r))) || unicode.Is(unicode.Bidi_Control, r)
	}
	if strings.ContainsFunc(text, control) {
		return "", schema.Errorf(schema.CodeInvalid,
			"The member %q must not contain control characters or such that turn the direction of writing.", member)
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
		ID: t.ID, Name: t.Name, Description: t.Description, Keywords: append([]string{}, t.Keywords...),
		Scope: TopicScope(t.Scope()), Suggested: t.Suggested,
	}
}
