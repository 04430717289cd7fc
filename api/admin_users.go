package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// defaultUsersPageSize is the number of users per page if the request sets no limit.
const defaultUsersPageSize = 50

// MaxModelName is the maximum length of the name of an AI model in characters.
const MaxModelName = 100

// ListUsers returns a page of all users, in the order in which they were created.
func (s *server) ListUsers(
	ctx context.Context, r ListUsersRequestObject,
) (ListUsersResponseObject, error) {
	limit, after := defaultUsersPageSize, uuid.Nil
	if r.Params.Limit != nil {
		limit = *r.Params.Limit
	}
	if r.Params.Cursor != nil {
		var err error
		if after, err = decodeCursor(*r.Params.Cursor); err != nil {
			return nil, err
		}
	}
	// Read one more user than fits on the page, to find out whether there is a next page.
	users, err := s.userDB(ctx).AdminUsers(ctx, after, limit+1)
	if err != nil {
		return nil, err
	}
	page := UserPage{Items: make([]User, 0, limit)}
	if len(users) > limit {
		users = users[:limit]
		next := encodeCursor(users[limit-1].ID)
		page.NextCursor = &next
	}
	for _, u := range users {
		page.Items = append(page.Items, userOf(u))
	}
	return ListUsers200JSONResponse(page), nil
}

// userPatch returns the changes that a request describes.
func (s *server) userPatch(b *UserPatch) (patch postgres.UserPatch, err error) {
	if patch.LimitBytes, err = orDefault(b.LimitBytes, s.config.DefaultQuota); err != nil {
		return patch, schema.Errorf(schema.CodeInvalid,
			`The member "limit_bytes" of the request body is out of range.`).
			With(schema.Facts{Pointer: "/limit_bytes"})
	}
	if patch.AIProvider, err = orDefault(b.AiProvider, ""); err != nil {
		return patch, fmt.Errorf("read ai_provider: %w", err) // the contract permits only texts
	}
	if patch.AIModel, err = orDefault(b.AiModel, ""); err != nil {
		return patch, fmt.Errorf("read ai_model: %w", err)
	}
	return patch, nil
}

// orDefault returns the value of a member of a request body, which is the default if the member is
// null. It returns nil if the member was left out.
func orDefault[T any](member json.RawMessage, value T) (*T, error) {
	if member == nil {
		return nil, nil
	}
	err := json.Unmarshal(member, &value) // null does not change the value
	return &value, err
}

// ChangeUser changes a user's quota and AI settings; null selects the default. A limit that is
// lower than the used bytes deletes nothing, but the user cannot upload until enough documents are
// deleted.
func (s *server) ChangeUser(
	ctx context.Context, r ChangeUserRequestObject,
) (ChangeUserResponseObject, error) {
	patch, err := s.userPatch(r.Body)
	if err != nil {
		return nil, err
	}
	if patch.AIModel != nil {
		model, err := cleanText("ai_model", *patch.AIModel, 0, MaxModelName, false)
		if err != nil {
			return nil, err
		}
		patch.AIModel = &model
	}
	db := s.userDB(ctx).From(clientOf(ctx))
	if patch.AIProvider != nil {
		err := db.CheckAIProvider(ctx, *patch.AIProvider)
		if refused, ok := errors.AsType[*schema.Error](err); ok {
			return nil, refused.With(schema.Facts{Pointer: "/ai_provider"})
		}
		if err != nil {
			return nil, err
		}
	}
	user, err := db.ChangeUser(ctx, r.ID, patch)
	if err != nil {
		return nil, err
	}
	if patch.LimitBytes != nil {
		s.publisher.Hint(schema.HintQuota, r.ID)
	}
	return ChangeUser200JSONResponse(userOf(user)), nil
}
