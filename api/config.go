package api

import (
	"context"

	"intray/schema"
)

// multipartFrom is the size in bytes from which on clients should upload a file in parts. The
// gateway ends a PUT after 30 minutes, in which a connection with 0.5 Mbit/s sends this much; and
// what an interrupted PUT has sent is lost.
const multipartFrom = 100 << 20

// oidcScope are the scopes that a page requests. The first token of a new user must have an email
// address.
const oidcScope = "openid email"

// GetConfig returns what a front end needs to know before a user signs in, or 304 if it has not
// changed.
func (s *server) GetConfig(
	_ context.Context, r GetConfigRequestObject,
) (GetConfigResponseObject, error) {
	body := ClientConfig{
		Version:            s.config.Version,
		MaxDocumentBytes:   s.config.Limits.MaxSize,
		AllowedTypes:       s.config.Limits.AllowedTypes,
		MultipartFromBytes: multipartFrom,
		PartBytes:          schema.PartSize(0),
	}
	if c := s.config.OIDC; c.Issuer != "" && c.ClientID != "" {
		body.Oidc = &OIDCConfig{
			Issuer: c.Issuer, ClientID: c.ClientID, Audience: c.Audience, Scope: oidcScope,
		}
	}
	etag := bodyETag(body)
	if unchanged(r.Params.IfNoneMatch, etag) {
		return GetConfig304Response{Headers: NotModifiedResponseHeaders{ETag: etag}}, nil
	}
	return GetConfig200JSONResponse{
		Body: body, Headers: GetConfig200ResponseHeaders{ETag: etag},
	}, nil
}
