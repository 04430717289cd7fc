package api

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// A refresh token is the base64url encoding of two random halves. The first half, the family,
// identifies the session and is the same in all of the session's tokens. The second half, the
// secret, is replaced whenever the token is used. The database stores the SHA-256 of each half. A
// slower hash is not needed, because the halves are long and random. See docs/adr/0010-sessions.md.
const (
	familyBytes = 16
	secretBytes = 32
	// refreshKeyIDBytes is the length of a key id, which only has to distinguish a few keys.
	refreshKeyIDBytes = 8
)

// refreshGrace is how long the previous refresh token of a session still returns the current one.
// It covers a second browser tab and a client that did not receive the response.
const refreshGrace = 10 * time.Second

type refreshToken struct {
	family [familyBytes]byte
	secret [secretBytes]byte
}

var (
	errRefreshRefused = schema.Errorf(schema.CodeUnauthenticated,
		"The refresh token is no longer valid. Sign in again.")
	errNoRefreshToken = schema.Errorf(schema.CodeUnauthenticated,
		"The request has a refresh token neither in its body nor in a cookie. Sign in.")
)

func newRefreshToken() (t refreshToken) {
	_, _ = rand.Read(t.family[:]) // never fails
	_, _ = rand.Read(t.secret[:])
	return t
}

func (t refreshToken) String() string {
	return base64.RawURLEncoding.EncodeToString(append(t.family[:], t.secret[:]...))
}

// parseRefreshToken fails with CodeUnauthenticated if text is not a refresh token.
func parseRefreshToken(text string) (t refreshToken, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != familyBytes+secretBytes {
		return t, errRefreshRefused
	}
	copy(t.family[:], raw)
	copy(t.secret[:], raw[familyBytes:])
	return t, nil
}

// refreshKey derives refresh tokens from their predecessors. It is itself derived from a token key,
// so that neither key serves two purposes.
type refreshKey struct {
	key []byte
	// id is the beginning of each nonce that is used with the key. A replica whose first key is a
	// different one uses it to find the key that made a token.
	id []byte
}

func newRefreshKey(tokenKey []byte) (k refreshKey, err error) {
	k.key, err = hkdf.Key(sha256.New, tokenKey, nil, "intray refresh tokens", sha256.Size)
	if err == nil {
		k.id, err = hkdf.Key(sha256.New, tokenKey, nil, "intray refresh key id", refreshKeyIDBytes)
	}
	if err != nil {
		return k, fmt.Errorf("derive the refresh key: %w", err)
	}
	return k, nil
}

// newRefreshKeys returns the refresh keys of the token keys, in the same order.
func newRefreshKeys(tokenKeys [][]byte) ([]refreshKey, error) {
	keys := make([]refreshKey, len(tokenKeys))
	for i, tokenKey := range tokenKeys {
		var err error
		if keys[i], err = newRefreshKey(tokenKey); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func (k refreshKey) nonce() []byte {
	random := make([]byte, secretBytes)
	_, _ = rand.Read(random) // never fails
	return append(slices.Clone(k.id), random...)
}

// successor returns the token that replaces t, given the nonce that is stored for it. Computing it
// requires the server's key, t itself and the nonce from the database. To anybody else the result
// is as unpredictable as a random token, but the server can compute it again without storing it.
func (k refreshKey) successor(t refreshToken, nonce []byte) refreshToken {
	mac := hmac.New(sha256.New, k.key)
	mac.Write(t.secret[:])
	mac.Write(nonce)
	return refreshToken{family: t.family, secret: [secretBytes]byte(mac.Sum(nil))}
}

// repeatSuccessor returns the successor of t that was made with nonce, using the key that made it.
// It fails with CodeUnauthenticated if that key is no longer accepted: a different key would make a
// different token, and its next use would look like the reuse of a stolen token.
func (s *server) repeatSuccessor(t refreshToken, nonce []byte) (refreshToken, error) {
	for _, k := range s.refreshKeys {
		if bytes.HasPrefix(nonce, k.id) {
			return k.successor(t, nonce), nil
		}
	}
	return refreshToken{}, errRefreshRefused
}

// startSession starts a session for an account whose password has been checked.
func (s *server) startSession(ctx context.Context, account postgres.Account) (Token, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Token{}, fmt.Errorf("generate a session id: %w", err)
	}
	t := newRefreshToken()
	err = s.auth.StartSession(ctx, postgres.NewSession{
		ID:           id,
		UserID:       account.ID,
		VerifiedHash: account.PasswordHash,
		Family:       sha256.Sum256(t.family[:]),
		Token:        sha256.Sum256(t.secret[:]),
		TTL:          s.config.Sessions.TTL,
		Client:       clientOf(ctx),
	})
	if err != nil {
		return Token{}, err
	}
	return s.issueTokens(account.ID, id, account.Role, t)
}

// issueTokens returns a new access token together with the session's refresh token t.
func (s *server) issueTokens(
	user, session uuid.UUID, role schema.Role, t refreshToken,
) (Token, error) {
	access, err := s.tokens.issue(user, session, role, s.tokens.now())
	if err != nil {
		return Token{}, fmt.Errorf("issue a token for user %s: %w", user, err)
	}
	return Token{
		AccessToken:  access,
		TokenType:    TokenTokenTypeBearer,
		ExpiresIn:    int(s.tokens.ttl.Seconds()),
		RefreshToken: new(t.String()),
	}, nil
}

// Refresh exchanges a refresh token for new tokens. A refresh token can be used once. If it is used
// again after refreshGrace, two parties have it and one of them may have stolen it, so the session
// ends.
func (s *server) Refresh(
	ctx context.Context, r RefreshRequestObject,
) (RefreshResponseObject, error) {
	cookies := authCookiesOf(ctx)
	text, inCookie, err := cookies.presented(r.Body)
	if err != nil {
		return nil, err
	}
	token, err := s.refresh(ctx, text)
	switch {
	case inCookie && errors.Is(err, errRefreshRefused):
		cookies.clear()
	case inCookie && err == nil:
		s.keep(cookies, &token)
	}
	if err != nil {
		return nil, err
	}
	return Refresh200JSONResponse(token), nil
}

// refresh exchanges the refresh token for new tokens.
func (s *server) refresh(ctx context.Context, text string) (Token, error) {
	if text == "" {
		return Token{}, errNoRefreshToken
	}
	presented, err := parseRefreshToken(text)
	if err != nil {
		return Token{}, err
	}
	key := s.refreshKeys[0]
	nonce := key.nonce()
	next := key.successor(presented, nonce)
	got, err := s.auth.RefreshSession(ctx, postgres.Rotation{
		Family:         sha256.Sum256(presented.family[:]),
		PresentedToken: sha256.Sum256(presented.secret[:]),
		NewToken:       sha256.Sum256(next.secret[:]),
		NewNonce:       nonce,
		IdleTimeout:    s.config.Sessions.IdleTimeout,
		GracePeriod:    refreshGrace,
		Client:         clientOf(ctx),
	})
	if err != nil {
		return Token{}, err
	}
	switch got.Outcome {
	case postgres.RefreshRotated:
	case postgres.RefreshRepeated:
		if next, err = s.repeatSuccessor(presented, got.Nonce); err != nil {
			return Token{}, err
		}
	case postgres.RefreshReused:
		s.config.Log.LogAttrs(ctx, slog.LevelWarn, "session ended because a refresh token was reused",
			slog.String("user_id", got.UserID.String()),
			slog.String("session_id", got.SessionID.String()))
		return Token{}, errRefreshRefused
	default:
		return Token{}, errRefreshRefused
	}
	return s.issueTokens(got.UserID, got.SessionID, got.Role, next)
}

// Logout ends the session of a refresh token, which may be the current one or an older one. A
// string that is not a refresh token ends no session and is not an error.
func (s *server) Logout(ctx context.Context, r LogoutRequestObject) (LogoutResponseObject, error) {
	cookies := authCookiesOf(ctx)
	text, inCookie, err := cookies.presented(r.Body)
	if err != nil {
		return nil, err
	}
	if t, err := parseRefreshToken(text); err == nil {
		if err := s.auth.EndSession(ctx, sha256.Sum256(t.family[:]), clientOf(ctx)); err != nil {
			return nil, err
		}
	}
	if inCookie {
		cookies.clear()
	}
	return Logout204Response{}, nil
}
