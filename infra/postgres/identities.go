package postgres

import (
	"context"

	"github.com/google/uuid"

	"intray/schema"
)

// An Identity is what an OIDC issuer says of a user.
type Identity struct {
	Issuer, Subject string
	// Email is the address that the issuer has verified; "" if it says of none.
	Email string
}

// IdentityAccount returns the user with this identity, by issuer and subject alone. One who is not there yet is made, with the
// quota limit in bytes, if the identity has an email address that no other user has; otherwise it fails with
// schema.CodeUnauthenticated, as it does if the user was deleted. It needs no ForUser.
func (db *DB) IdentityAccount(ctx context.Context, i Identity, limit int64) (Account, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Account{}, wrap(ctx, err, "make a user id")
	}
	var email *string
	if i.Email != "" {
		email = &i.Email
	}
	var got struct {
		Outcome string        `db:"outcome"`
		ID      uuid.NullUUID `db:"id"`
		Role    *schema.Role  `db:"role"`
	}
	err = db.pool.GetContext(ctx, &got, `SELECT outcome, id, role FROM identity_account($1, $2, $3, $4, $5)`,
		i.Issuer, i.Subject, id, email, limit)
	switch {
	case err != nil:
		return Account{}, wrap(ctx, err, "find the user of an identity")
	case got.Outcome == "deleted":
		return Account{}, schema.Errorf(schema.CodeUnauthenticated, "This account does not exist any more. Ask an administrator.")
	case got.Outcome == "email_taken":
		return Account{}, schema.Errorf(schema.CodeUnauthenticated,
			"Another account here has the email address of your identity provider's. Sign in to that one with its password, or ask an administrator.")
	case got.Outcome == "unknown" || got.Role == nil:
		return Account{}, schema.Errorf(schema.CodeUnauthenticated,
			"Your identity provider does not say that it has verified your email address, which a new account needs. Verify it there.")
	}
	return Account{ID: got.ID.UUID, Role: *got.Role}, nil
}
