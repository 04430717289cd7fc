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
	// tokenLeeway tolerates that replicas do not measure the database's clock equally.
	tokenLeeway = 5 * time.Second
	// MinTokenKeyBytes is the minimum length of a key for HS256 in bytes. It is the length of the
	// hash (RFC 7518, section 3.2).
	MinTokenKeyBytes = 32
)

// tokens issues and checks access tokens, which are JWTs signed with HMAC-SHA256. A token cannot
// be revoked before it expires, except by deleting the user.
type tokens struct {
	key      []byte                 // signs new tokens
	accepted jwt.VerificationKeySet // key, and the secondary key if there is one
	ttl      time.Duration
	now      func() time.Time // the clock of all replicas, that of the database
	parser   *jwt.Parser
	cache    tokenCache
}

type claims struct {
	jwt.RegisteredClaims
	Role schema.Role `json:"role"`
	// Session is the id of the session that the token belongs to.
	Session uuid.UUID `json:"sid,omitzero"`
}

// tokenKeys returns the keys whose tokens are accepted, starting with the one that signs. It fails
// if a key is too short or if both keys are the same.
func (c Config) tokenKeys() ([][]byte, error) {
	keys := [][]byte{c.TokenKey}
	if len(c.SecondaryTokenKey) > 0 {
		keys = append(keys, c.SecondaryTokenKey)
	}
	for _, key := range keys {
		if len(key) < MinTokenKeyBytes {
			return nil, fmt.Errorf("a token key has %d bytes; at least %d are required",
				len(key), MinTokenKeyBytes)
		}
	}
	if bytes.Equal(c.TokenKey, c.SecondaryTokenKey) {
		return nil, errors.New("the token key and the secondary token key are the same")
	}
	return keys, nil
}

// newTokens returns a tokens value that signs with the first key and accepts all keys. It issues
// and checks tokens by the clock now.
func newTokens(keys [][]byte, ttl time.Duration, now func() time.Time) *tokens {
	var accepted jwt.VerificationKeySet
	for _, key := range keys {
		accepted.Keys = append(accepted.Keys, key)
	}
	parser := jwt.NewParser(
		// Accept no other algorithm, even if the token's header names one.
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithIssuer(tokenIssuer), jwt.WithAudience(tokenAudience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(tokenLeeway),
		jwt.WithTimeFunc(now),
	)
	return &tokens{
		key: keys[0], accepted: accepted, ttl: ttl, now: now, parser: parser,
		cache: newTokenCache(),
	}
}

// issue returns a token for the user that is valid from now for t.ttl.
func (t *tokens) issue(user, session uuid.UUID, role schema.Role, now time.Time) (string, error) {
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    tokenIssuer,
			Audience:  jwt.ClaimStrings{tokenAudience},
			Subject:   user.String(),
			ID:        uuid.NewString(),
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(t.ttl)),
		},
		Role:    role,
		Session: session,
	}).SignedString(t.key)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}

// authenticate returns the user that the request's access token identifies. It accepts tokens of
// our own and, if an issuer is configured, those of the issuer. authenticate does not check whether
// a user with one of our tokens still exists; the queries of the handler do. It fails with
// CodeUnauthenticated if the token is missing or invalid, and with CodeUnavailable if the issuer's
// keys are needed and cannot be fetched.
func (s *server) authenticate(
	ctx context.Context, h http.Header, address string,
) (caller, error) {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" || len(h.Values("Authorization")) > 1 {
		return caller{}, schema.Errorf(schema.CodeUnauthenticated,
			"An access token is required. "+
				"Sign in and send the header \"Authorization: Bearer <token>\".")
	}
	// The token's header determines which of the two checks is used. This is safe, because each check
	// accepts only tokens that it can verify: with our HMAC keys, or with the issuer's public keys.
	if s.issuer != nil && s.issuer.usesAlgorithmOf(token) {
		return s.authenticateWithIssuer(ctx, token, parseAddress(address))
	}
	return s.tokens.check(token)
}

var (
	errTokenExpired = schema.Errorf(schema.CodeUnauthenticated,
		"The access token has expired. Refresh it, or sign in again.")
	errTokenInvalid = schema.Errorf(schema.CodeUnauthenticated,
		"The access token is not valid. Sign in again.")
)

// check returns the user that one of our own access tokens identifies.
func (t *tokens) check(token string) (caller, error) {
	now := t.now()
	if who, ok := t.cache.get(token, now); ok {
		return who, nil
	}
	var c claims
	keys := func(*jwt.Token) (any, error) { return t.accepted, nil }
	_, err := t.parser.ParseWithClaims(token, &c, keys)
	if errors.Is(err, jwt.ErrTokenExpired) {
		return caller{}, errTokenExpired
	}
	id, idErr := uuid.Parse(c.Subject)
	if err != nil || idErr != nil || (c.Role != schema.RoleUser && c.Role != schema.RoleAdmin) {
		return caller{}, errTokenInvalid
	}
	who := caller{id: id, role: c.Role, session: c.Session}
	// A token that has expired but is accepted within the leeway is not cached.
	if at := c.ExpiresAt.Time; now.Before(at) {
		t.cache.add(token, who, at)
	}
	return who, nil
}
