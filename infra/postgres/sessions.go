package postgres

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// A NewSession is a session to start. Its refresh token has two halves, of which the SHA-256 are kept: one that names the
// migrationSession in all its tokens, and one that changes at each use.
type NewSession struct {
	ID     uuid.UUID
	UserID uuid.UUID
	// VerifiedHash is the password hash that the sign-in was checked against.
	VerifiedHash  string
	Family, Token [32]byte
	// TTL is after how long the session ends however much it is used.
	TTL time.Duration
}

// StartSession stores a session. It fails with schema.CodeUnauthenticated if the user's password is not any more the one that
// versions checked. It needs no ForUser.
func (db *DB) StartSession(ctx context.Context, s NewSession) error {
	var started bool
	err := db.pool.GetContext(ctx, &started, `SELECT start_session($1, $2, $3, $4, $5, $6)`,
		s.ID, s.UserID, s.VerifiedHash, s.Family[:], s.Token[:], s.TTL.Seconds())
	if err == nil && !started {
		return schema.Errorf(schema.CodeUnauthenticated, "The password was changed just now. Sign in with the new one.")
	}
	return wrap(ctx, err, "start a session of user %s", s.UserID)
}

// A Rotation is one use of a refresh token.
type Rotation struct {
	// Family and Shown are the SHA-256 of the token's halves.
	Family, PresentedToken [32]byte
	// NewToken is the SHA-256 of the half that replaces the one shown, and Nonce what it was made with.
	NewToken [32]byte
	NewNonce []byte
	// IdleTimeout is after how long without a use a session ends; Grace how long the token before the current one may be shown again.
	IdleTimeout, GracePeriod time.Duration
}

// A Refreshed is what became of a session whose token was used.
type RefreshResult struct {
	// Outcome says which of the other fields mean something.
	Outcome   RefreshOutcome `db:"outcome"`
	SessionID uuid.UUID      `db:"session"`
	UserID    uuid.UUID      `db:"user_id"`
	Role      schema.Role    `db:"role"`
	// Nonce is what the session's current token was made with.
	Nonce []byte `db:"nonce"`
}

// RefreshOutcome is one of the constants below.
type RefreshOutcome string

const (
	// RefreshRotated: the token was the current one; Rotation.Next is now.
	RefreshRotated RefreshOutcome = "rotated"
	// RefreshRepeated: the token was the one before, within the grace; nothing was changed.
	RefreshRepeated RefreshOutcome = "repeated"
	// RefreshReused: the token was an older one, so two hold the session's tokens; the session is ended.
	RefreshReused RefreshOutcome = "reused"
	// RefreshOver: the session had ended by itself.
	RefreshExpired RefreshOutcome = "expired"
	// RefreshUnknown: there is no such session.
	RefreshUnknown RefreshOutcome = ""
)

// RefreshSession replaces a session's token. It needs no ForUser.
func (db *DB) RefreshSession(ctx context.Context, r Rotation) (RefreshResult, error) {
	var got RefreshResult
	err := db.pool.GetContext(ctx, &got, `SELECT outcome, session, user_id, role, nonce FROM refresh_session($1, $2, $3, $4, $5, $6)`,
		r.Family[:], r.PresentedToken[:], r.NewToken[:], r.NewNonce, r.IdleTimeout.Seconds(), r.GracePeriod.Seconds())
	if errors.Is(err, sql.ErrNoRows) {
		return RefreshResult{}, nil
	}
	return got, wrap(ctx, err, "refresh a session")
}

// EndSession ends the session with this family, if there is one. It needs no ForUser.
func (db *DB) EndSession(ctx context.Context, family [32]byte) error {
	_, err := db.pool.ExecContext(ctx, `SELECT end_session($1)`, family[:])
	return wrap(ctx, err, "end a session")
}

// OwnPasswordHash returns the password hash of the user that the DB is bound to, "" for one without a password.
func (db *DB) OwnPasswordHash(ctx context.Context) (hash string, err error) {
	if err := db.requireUser(); err != nil {
		return "", err
	}
	err = db.inTransaction(ctx, func(tx *tx) error { return tx.GetContext(ctx, &hash, `SELECT own_password_hash()`) })
	return hash, wrap(ctx, err, "read the password of user %s", db.user)
}

// ChangeOwnPassword changes the password of the user that the DB is bound to, and ends all of the user's sessions but the one to
// keep (uuid.Nil: all). It returns false, and does nothing, if the password is not any more the one that was checked.
func (db *DB) ChangeOwnPassword(ctx context.Context, checkedHash, newHash string, keep uuid.UUID) (changed bool, err error) {
	if err := db.requireUser(); err != nil {
		return false, err
	}
	err = db.inTransaction(ctx, func(tx *tx) error {
		return tx.GetContext(ctx, &changed, `SELECT change_own_password($1, $2, $3)`,
			checkedHash, newHash, uuid.NullUUID{UUID: keep, Valid: keep != uuid.Nil})
	})
	return changed, wrap(ctx, err, "change the password of user %s", db.user)
}
