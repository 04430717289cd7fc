package api

import (
	"context"

	"github.com/google/uuid"

	"intray/infra/postgres"
)

// defaultUsers is how many users a page of the listing has unless asked otherwise.
const defaultUsers = 50

// ListUsers lists all accounts in the order in which they were made.
func (s *server) ListUsers(ctx context.Context, r ListUsersRequestObject) (ListUsersResponseObject, error) {
	limit, after := defaultUsers, uuid.Nil
	if r.Params.Limit != nil {
		limit = *r.Params.Limit
	}
	if r.Params.Cursor != nil {
		var err error
		if after, err = decodeCursor(*r.Params.Cursor); err != nil {
			return nil, err
		}
	}
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

// ChangeUser changes an account's quota and AI settings. A limit below what is
// used takes nothing away; nothing more fits then.
func (s *server) ChangeUser(ctx context.Context, r ChangeUserRequestObject) (ChangeUserResponseObject, error) {
	patch := postgres.UserPatch{LimitBytes: r.Body.LimitBytes, AIModel: r.Body.AiModel}
	if r.Body.AiModel != nil {
		model, err := cleanText("ai_model", *r.Body.AiModel, 0, MaxModelName, false)
		if err != nil {
			return nil, err
		}
		patch.AIModel = &model
	}
	if r.Body.AiProvider != nil {
		provider := string(*r.Body.AiProvider)
		patch.AIProvider = &provider
	}
	user, err := s.userDB(ctx).ChangeUser(ctx, r.ID, patch)
	if err != nil {
		return nil, err
	}
	return ChangeUser200JSONResponse(userOf(user)), nil
}

// MaxModelName is the longest name of a model in characters.
const MaxModelName = 100
