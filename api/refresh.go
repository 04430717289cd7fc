package api

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// A refresh token is base64url of two random halves. The first names the session
// in all its tokens and stays; the second is replaced at each use. The database
// has the SHA-256 of either. Of random values that long no slower hash is
// needed. See docs/adr/0010-sessions.md.
const (
	familyBytes = 16
	secretBytes = 32
	// refreshKeyIDBytes tell a handful of keys from each other.
	refreshKeyIDBytes = 8
)

// refreshGrace is how long the token before the current one gives the current
// one again: to a second tab, or to a client that never saw the answer.
const refreshGrace = 10 * time.Second

type refreshToken struct {
	family [familyBytes]byte
	secret [secretBytes]byte
}

var errRefreshRefused = schema.Errorf(
	schema.CodeUnauthenticated,
	"The refresh token is not good any more. Sign in again.",
)

func newRefreshToken() (t refreshToken) {
	_, _ = rand.Read(t.family[:]) // never fails
	_, _ = rand.Read(t.secret[:])
	return t
}

func (t refreshToken) String() string {
	return base64.RawURLEncoding.EncodeToString(append(t.family[:], t.secret[:]...))
}

// parseRefreshToken fails with CodeUnauthenticated for what is none.
func parseRefreshToken(text string) (t refreshToken, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != familyBytes+secretBytes {
		return t, errRefreshRefused
	}
	copy(t.family[:], raw)
	copy(t.secret[:], raw[familyBytes:])
	return t, nil
}

// A refreshKey makes refresh tokens of refresh tokens. It is derived from a token
// key and must not be that one itself.
type refreshKey struct {
	key []byte
	// id begins each nonce that the key is used with, so that a replica that
	// makes tokens with another key finds this one again.
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

// newRefreshKeys returns a refresh key for each of the token keys, in their order.
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

// successor is the token after t that was made with nonce. It takes the server's
// key, the token itself and the nonce, which is in the database, to know it: so it
// is as good as random, and can be given again without being kept.
func (k refreshKey) successor(t refreshToken, nonce []byte) refreshToken {
	mac := hmac.New(sha256.New, k.key)
	mac.Write(t.secret[:])
	mac.Write(nonce)
	return refreshToken{family: t.family, secret: [secretBytes]byte(mac.Sum(nil))}
}

// again gives the successor of t that was made with nonce once more, with
// whichever key made it. It fails with CodeUnauthenticated where that key is not
// accepted any more: a token made with another one would look like a thief's at
// its next use.
func (s *server) again(t refreshToken, nonce []byte) (refreshToken, error) {
	for _, k := range s.refreshKeys {
		if bytes.HasPrefix(nonce, k.id) {
			return k.successor(t, nonce), nil
		}
	}
	return refreshToken{}, errRefreshRefused
}

// startSession starts a session for an account whose password was checked.
func (s *server) startSession(ctx context.Context, account postgres.Account) (Token, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Token{}, fmt.Errorf("make a session id: %w", err)
	}
	t := newRefreshToken()
	err = s.db.StartSession(ctx, postgres.NewSession{
		ID:           id,
		UserID:       account.ID,
		VerifiedHash: account.PasswordHash,
		Family:       sha256.Sum256(t.family[:]),
		Token:        sha256.Sum256(t.secret[:]),
		TTL:          s.config.Sessions.TTL,
	})
	if err != nil {
		return Token{}, err
	}
	return s.token(account.ID, id, account.Role, t)
}

// token is the answer that keeps a session going.
func (s *server) token(user, session uuid.UUID, role schema.Role, t refreshToken) (Token, error) {
	access, err := s.tokens.issue(user, session, role, time.Now())
	if err != nil {
		return Token{}, fmt.Errorf("token for user %s: %w", user, err)
	}
	return Token{
		AccessToken:  access,
		TokenType:    TokenTokenTypeBearer,
		ExpiresIn:    int(s.tokens.ttl.Seconds()),
		RefreshToken: t.String(),
	}, nil
}

// Refresh gives new tokens for a refresh token, once. Shown again after the
// grace, it ends the session: two hold it, and one of them is a thief.
func (s *server) Refresh(
	ctx context.Context, r RefreshRequestObject,
) (RefreshResponseObject, error) {
	shown, err := parseRefreshToken(r.Body.RefreshToken)
	if err != nil {
		return nil, err
	}
	key := s.refreshKeys[0]
	nonce := key.nonce()
	next := key.successor(shown, nonce)
	got, err := s.db.RefreshSession(ctx, postgres.Rotation{
		Family:         sha256.Sum256(shown.family[:]),
		PresentedToken: sha256.Sum256(shown.secret[:]),
		NewToken:       sha256.Sum256(next.secret[:]),
		NewNonce:       nonce,
		IdleTimeout:    s.config.Sessions.IdleTimeout,
		GracePeriod:    refreshGrace,
	})
	if err != nil {
		return nil, err
	}
	switch got.Outcome {
	case postgres.RefreshRotated:
	case postgres.RefreshRepeated:
		if next, err = s.again(shown, got.Nonce); err != nil {
			return nil, err
		}
	case postgres.RefreshReused:
		s.config.Log.LogAttrs(ctx, slog.LevelWarn, "a refresh token was used again: its session is ended",
			slog.String("user_id", got.UserID.String()), slog.String("session_id", got.SessionID.String()))
		return nil, errRefreshRefused
	default:
		return nil, errRefreshRefused
	}
	token, err := s.token(got.UserID, got.SessionID, got.Role, next)
	if err != nil {
		return nil, err
	}
	return Refresh200JSONResponse(token), nil
}

// Logout ends the session of a refresh token, old or new. What is none ends
// nothing, which is what was asked for.
func (s *server) Logout(ctx context.Context, r LogoutRequestObject) (LogoutResponseObject, error) {
	if t, err := parseRefreshToken(r.Body.RefreshToken); err == nil {
		if err := s.db.EndSession(ctx, sha256.Sum256(t.family[:])); err != nil {
			return nil, err
		}
	}
	return Logout204Response{}, nil
}
