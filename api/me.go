package api

import (
	"context"

	"intray/schema"
)

// GetMe returns the caller's account.
func (s *server) GetMe(ctx context.Context, _ GetMeRequestObject) (GetMeResponseObject, error) {
	me, err := s.userDB(ctx).Me(ctx)
	if err != nil {
		return nil, err
	}
	return GetMe200JSONResponse(userOf(me)), nil
}

func userOf(u schema.User) User {
	return User{
		ID:         u.ID,
		Email:      u.Email,
		Role:       UserRole(u.Role),
		AiProvider: nilIfEmpty(u.AIProvider),
		AiModel:    nilIfEmpty(u.AIModel),
		Quota:      Quota{LimitBytes: u.Quota.LimitBytes, UsedBytes: u.Quota.UsedBytes},
	}
}

// nilIfEmpty returns nil, which is null in JSON, for an empty value, and otherwise a pointer to it.
func nilIfEmpty[T ~string](value T) *T {
	if value == "" {
		return nil
	}
	return &value
}
