package api

import (
	"context"

	"intray/schema"
)

// GetMe returns the caller's account, or 304 if it has not changed.
func (s *server) GetMe(ctx context.Context, r GetMeRequestObject) (GetMeResponseObject, error) {
	me, err := s.userDB(ctx).Me(ctx)
	if err != nil {
		return nil, err
	}
	body := userOf(me)
	etag := bodyETag(body)
	if unchanged(r.Params.IfNoneMatch, etag) {
		return GetMe304Response{Headers: NotModifiedResponseHeaders{ETag: etag}}, nil
	}
	return GetMe200JSONResponse{Body: body, Headers: GetMe200ResponseHeaders{ETag: etag}}, nil
}

func userOf(u schema.User) User {
	return User{
		ID:          u.ID,
		Email:       u.Email,
		Role:        UserRole(u.Role),
		AiProvider:  nilIfEmpty(u.AIProvider),
		AiModel:     nilIfEmpty(u.AIModel),
		HasPassword: u.HasPassword,
		CreatedAt:   u.CreatedAt.UTC(),
		Quota:       Quota{LimitBytes: u.Quota.LimitBytes, UsedBytes: u.Quota.UsedBytes},
	}
}

// nilIfEmpty returns nil, which is null in JSON, for an empty value, and otherwise a pointer to it.
func nilIfEmpty[T ~string](value T) *T {
	if value == "" {
		return nil
	}
	return &value
}
