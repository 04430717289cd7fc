package postgres

import (
	"context"
	"net/netip"

	"github.com/google/uuid"

	"intray/schema"
)

// An Identity is a user's identity as an OIDC issuer asserts it.
type Identity struct {
	Issuer, Subject string
	// Email is an address that the issuer has verified, or "" if there is none.
	Email string
	// Client is the address of the client, for the audit trail. It may be invalid.
	Client netip.Addr
}

// IdentityAccount returns the account of the identity's issuer and subject. If there is none, it
// creates a user with a quota of limit bytes. It fails with schema.CodeUnauthenticated if the user
// was deleted, if a new user would have no email address, or if another user has the address.
func (a *Auth) IdentityAccount(
	ctx context.Context, i Identity, limit int64,
) (Account, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Account{}, wrap(ctx, err, "generate a user id")
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
	err = a.db.pool.GetContext(ctx, &got, `
		SELECT outcome, id, role FROM identity_account($1, $2, $3, $4, $5, $6)`,
		i.Issuer, i.Subject, id, email, limit, clientAddress(i.Client))
	switch {
	case err != nil:
		return Account{}, wrap(ctx, err, "find the account of an identity")
	case got.Outcome == "deleted":
		return Account{}, schema.Errorf(schema.CodeUnauthenticated,
			"This account was deleted. Ask an administrator.")
	case got.Outcome == "email_taken":
		return Account{}, schema.Errorf(schema.CodeUnauthenticated,
			"Another account already uses your email address. "+
				"Sign in to that account with its password, or ask an administrator.")
	case got.Outcome == "unknown" || got.Role == nil:
		return Account{}, schema.Errorf(schema.CodeUnauthenticated,
			"A new account needs a verified email address, and your identity provider did not send one. "+
				"Verify your email address with your identity provider, then sign in again.")
	}
	return Account{ID: got.ID.UUID, Role: *got.Role}, nil
}
