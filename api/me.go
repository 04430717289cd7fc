package api

import (
	"context"

	"intray/schema"
)

// GetMe shows the caller's account.
func (s *server) GetMe(ctx context.Context, _ GetMeRequestObject) (GetMeResponseObject, error) {
	me, err := s.userDB(ctx).Me(ctx)
	if err != nil {
		return nil, err
	}
	return GetMe200JSONResponse(userOf(me)), nil
}

func userOf(u schema.User) User {
	return User{
		ID: u.ID, Email: u.Email, Role: UserRole(u.Role),
		AiProvider: present(u.AIProvider), AiModel: present(u.AIModel),
		Quota: Quota{LimitBytes: u.Quota.LimitBytes, UsedBytes: u.Quota.UsedBytes},
	}
}

// present is nil for what is empty, which the contract calls null.
func present[T ~string](value T) *T {
	if value == "" {
		return nil
	}
	return &value
}
