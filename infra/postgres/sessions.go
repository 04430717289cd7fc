package postgres

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// A NewSession is a session to start. A refresh token has two halves, of which the SHA-256 hashes
// are stored. The first half is the same in all tokens of the session; the second changes with each
// use.
type NewSession struct {
	ID     uuid.UUID
	UserID uuid.UUID
	// VerifiedHash is the password hash that the sign-in was verified with.
	VerifiedHash string
	// Family and Token are the hashes of the two halves.
	Family, Token [32]byte
	// TTL is the time after which the session expires, even if it is used.
	TTL time.Duration
	// Client is the address of the client, for the audit trail. It may be invalid.
	Client netip.Addr
}

// StartSession stores a session. It fails with schema.CodeUnauthenticated if the user's password
// hash is no longer VerifiedHash.
func (a *Auth) StartSession(ctx context.Context, s NewSession) error {
	var started bool
	err := a.db.pool.GetContext(ctx, &started, `SELECT start_session($1, $2, $3, $4, $5, $6, $7)`,
		s.ID, s.UserID, s.VerifiedHash, s.Family[:], s.Token[:], s.TTL.Seconds(),
		clientAddress(s.Client))
	if err == nil && !started {
		return schema.Errorf(schema.CodeUnauthenticated,
			"The password was just changed. Sign in with the new password.")
	}
	return wrap(ctx, err, "start a session of user %s", s.UserID)
}

// A Rotation is a use of a refresh token.
type Rotation struct {
	// Family and PresentedToken are the SHA-256 hashes of the token's halves.
	Family, PresentedToken [32]byte
	// NewToken is the hash of the new second half, and NewNonce the nonce that it was derived with.
	NewToken [32]byte
	NewNonce []byte
	// IdleTimeout is how long a session can be unused before it expires.
	IdleTimeout time.Duration
	// GracePeriod is how long the previous token is accepted after it was replaced.
	GracePeriod time.Duration
	// Client is the address of the client, for the audit trail. It may be invalid.
	Client netip.Addr
}

// A RefreshResult is the result of using a refresh token.
type RefreshResult struct {
	// Outcome is what the call did. If it is RefreshUnknown, the other fields are not set.
	Outcome   RefreshOutcome `db:"outcome"`
	SessionID uuid.UUID      `db:"session"`
	UserID    uuid.UUID      `db:"user_id"`
	Role      schema.Role    `db:"role"`
	// Nonce is the nonce that the session's current token was derived with.
	Nonce []byte `db:"nonce"`
}

// RefreshOutcome is the kind of a RefreshResult.
type RefreshOutcome string

const (
	// RefreshRotated means that the token was the current one. Rotation.NewToken has replaced it.
	RefreshRotated RefreshOutcome = "rotated"
	// RefreshRepeated means that the token was the previous one, within the grace period. Nothing
	// changed.
	RefreshRepeated RefreshOutcome = "repeated"
	// RefreshReused means that the token was an older one, so two parties have tokens of the session.
	// The session was deleted.
	RefreshReused RefreshOutcome = "reused"
	// RefreshExpired means that the session had expired. It was deleted.
	RefreshExpired RefreshOutcome = "expired"
	// RefreshUnknown means that the session does not exist.
	RefreshUnknown RefreshOutcome = ""
)

// RefreshSession replaces the token of a session.
func (a *Auth) RefreshSession(ctx context.Context, r Rotation) (RefreshResult, error) {
	var result RefreshResult
	err := a.db.pool.GetContext(ctx, &result, `
		SELECT outcome, session, user_id, role, nonce
		FROM refresh_session($1, $2, $3, $4, $5, $6, $7)`,
		r.Family[:], r.PresentedToken[:], r.NewToken[:], r.NewNonce,
		r.IdleTimeout.Seconds(), r.GracePeriod.Seconds(), clientAddress(r.Client))
	if errors.Is(err, sql.ErrNoRows) {
		return RefreshResult{}, nil
	}
	return result, wrap(ctx, err, "refresh a session")
}

// EndSession deletes the session with the family, if there is one. The audit trail records the
// address of the client, which may be invalid.
func (a *Auth) EndSession(ctx context.Context, family [32]byte, client netip.Addr) error {
	_, err := a.db.pool.ExecContext(ctx, `SELECT end_session($1, $2)`,
		family[:], clientAddress(client))
	return wrap(ctx, err, "end a session")
}
