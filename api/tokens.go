package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"intray/schema"
)

const (
	tokenIssuer   = "intray"
	tokenAudience = "intray-api"
	// tokenLeeway forgives clocks of several servers that differ.
	tokenLeeway = 5 * time.Second
	// MinTokenKeyBytes is the shortest key for HS256 in bytes: the hash's own length
	// (RFC 7518, section 3.2).
	MinTokenKeyBytes = 32
)

// tokens issues and checks access tokens: JWTs, signed with HMAC-SHA256. One
// cannot be taken back before it expires, except by deleting the user.
type tokens struct {
	key      []byte                 // signs
	accepted jwt.VerificationKeySet // key, and the other one while keys are rotated
	ttl      time.Duration
	parser   *jwt.Parser
	cache    tokenCache
}

type claims struct {
	jwt.RegisteredClaims
	Role schema.Role `json:"role"`
	// Session is the id of the session that the token belongs to.
	Session uuid.UUID `json:"sid,omitzero"`
}

// tokenKeys returns the keys whose tokens are taken, the one that signs first. It
// fails if one is too short, or if they are the same.
func (c Config) tokenKeys() ([][]byte, error) {
	keys := [][]byte{c.TokenKey}
	if len(c.SecondaryTokenKey) > 0 {
		keys = append(keys, c.SecondaryTokenKey)
	}
	for _, key := range keys {
		if len(key) < MinTokenKeyBytes {
			return nil, fmt.Errorf("a token key has %d bytes; at least %d are needed", len(key), MinTokenKeyBytes)
		}
	}
	if bytes.Equal(c.TokenKey, c.SecondaryTokenKey) {
		return nil, errors.New("the token key and the one also accepted are the same")
	}
	return keys, nil
}

// newTokens signs with the first of the keys and accepts all of them.
func newTokens(keys [][]byte, ttl time.Duration) *tokens {
	var accepted jwt.VerificationKeySet
	for _, key := range keys {
		accepted.Keys = append(accepted.Keys, key)
	}
	parser := jwt.NewParser(
		// Only this method is accepted, whatever the token's header names.
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithIssuer(tokenIssuer), jwt.WithAudience(tokenAudience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(tokenLeeway),
	)
	return &tokens{
		key: keys[0], accepted: accepted, ttl: ttl, cache: newTokenCache(), parser: parser,
	}
}

// issue returns a token for the user, good from now for t.ttl.
func (t *tokens) issue(user, session uuid.UUID, role schema.Role, now time.Time) (string, error) {
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: tokenIssuer, Audience: jwt.ClaimStrings{tokenAudience}, Subject: user.String(), ID: uuid.NewString(),
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(t.ttl)),
		},
		Role: role, Session: session,
	}).SignedString(t.key)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}

// authenticate returns whom the request's token speaks for: one of ours, or of
// the issuer's if there is one. Whether the user still exists is for the database
// to say. It fails with CodeUnauthenticated, or CodeUnavailable while the issuer
// is away.
func (s *server) authenticate(ctx context.Context, h http.Header) (caller, error) {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" || len(h.Values("Authorization")) > 1 {
		return caller{}, schema.Errorf(schema.CodeUnauthenticated,
			"An access token is needed. Sign in and send it in the header Authorization: Bearer …")
	}
	// Which of the two is asked is the token's word, but each takes only what it
	// can check: HMAC with our keys, or a signature with the issuer's public ones.
	if s.issuer != nil && s.issuer.signs(token) {
		return s.external(ctx, token)
	}
	return s.tokens.check(token)
}

var (
	errExpired  = schema.Errorf(schema.CodeUnauthenticated, "The access token has expired. Refresh it, or sign in again.")
	errNotValid = schema.Errorf(schema.CodeUnauthenticated, "The access token is not valid. Sign in again.")
)

// check returns whom one of our tokens speaks for.
func (t *tokens) check(token string) (caller, error) {
	now := time.Now()
	if who, ok := t.cache.get(token, now); ok {
		return who, nil
	}
	var c claims
	_, err := t.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return t.accepted, nil })
	if errors.Is(err, jwt.ErrTokenExpired) {
		return caller{}, errExpired
	}
	id, idErr := uuid.Parse(c.Subject)
	if err != nil || idErr != nil || (c.Role != schema.RoleUser && c.Role != schema.RoleAdmin) {
		return caller{}, errNotValid
	}
	who := caller{id: id, role: c.Role, session: c.Session}
	if at := c.ExpiresAt.Time; now.Before(at) { // within the leeway nothing is cached
		t.cache.add(token, who, at)
	}
	return who, nil
}
