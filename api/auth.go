package api

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"intray/infra/postgres"
	"intray/schema"
)

// Login starts a session for an email address and a password. The response and its cost are the
// same whether the account does not exist, has no password or has a different password.
func (s *server) Login(ctx context.Context, r LoginRequestObject) (LoginResponseObject, error) {
	var account postgres.Account
	email, password := r.Body.Email, r.Body.Password
	correct, err := s.checkPassword(ctx, email, password, func() (hash string, err error) {
		account, err = s.accountByEmail(ctx, email)
		return account.PasswordHash, err
	})
	if err != nil {
		return nil, err
	}
	if !correct {
		return nil, schema.Errorf(schema.CodeUnauthenticated,
			"The email address or the password is wrong.")
	}
	token, err := s.startSession(ctx, account)
	if err != nil {
		return nil, err
	}
	return Login200JSONResponse(token), nil
}

// checkPassword reports whether the password matches the hash that hashOf returns. It fails with
// CodeRateLimited, without calling hashOf, if there were too many failed attempts for this account
// or from the caller's address. Only wrong passwords count as failed attempts.
func (s *server) checkPassword(
	ctx context.Context, email, password string, hashOf func() (string, error),
) (correct bool, err error) {
	now := time.Now()
	address, account := network(callerOf(ctx).address), strings.ToLower(email)
	if wait := s.loginsByAddress.take(address, now); wait > 0 {
		return false, tooManyLogins(wait)
	}
	if wait := s.loginsByAccount.take(account, now); wait > 0 {
		s.loginsByAddress.putBack(address)
		return false, tooManyLogins(wait)
	}
	wrong := false
	defer func() {
		if !wrong {
			s.loginsByAddress.putBack(address)
			s.loginsByAccount.putBack(account)
		}
	}()
	hash, err := hashOf()
	if err != nil {
		return false, err
	}
	if correct, err = s.passwords.check(ctx, password, hash); err != nil {
		return false, fmt.Errorf("check a password: %w", err)
	}
	wrong = !correct
	return correct, nil
}

// ChangePassword changes the caller's password and ends the caller's other sessions. Access tokens
// of those sessions remain valid until they expire.
func (s *server) ChangePassword(
	ctx context.Context, r ChangePasswordRequestObject,
) (ChangePasswordResponseObject, error) {
	current, next := r.Body.CurrentPassword, r.Body.NewPassword
	db := s.userDB(ctx)
	me, err := db.Me(ctx)
	if err != nil {
		return nil, err
	}
	currentHash, err := db.OwnPasswordHash(ctx)
	if err != nil {
		return nil, err
	}
	if currentHash == "" {
		return nil, schema.Errorf(schema.CodeForbidden,
			"This account has no password. Sign in through its identity provider.")
	}
	correct, err := s.checkPassword(ctx, me.Email, current, func() (string, error) {
		return currentHash, nil
	})
	if err != nil {
		return nil, err
	}
	if !correct {
		return nil, schema.Errorf(schema.CodeInvalid,
			`The member "current_password" is not the account's password.`)
	}
	if next == current {
		return nil, schema.Errorf(schema.CodeInvalid,
			`The member "new_password" is the current password. Choose a different one.`)
	}
	newHash, err := s.passwords.hash(ctx, next)
	if err != nil {
		return nil, fmt.Errorf("change the password of user %s: %w", me.ID, err)
	}
	changed, err := db.ChangeOwnPassword(ctx, currentHash, newHash, callerOf(ctx).session)
	if err != nil {
		return nil, err
	}
	if !changed {
		return nil, schema.Errorf(schema.CodeInvalid,
			"Another request has just changed the password. Try again with the new password.")
	}
	return ChangePassword204Response{}, nil
}

// accountByEmail returns the account with this email address, or the zero Account if there is none.
func (s *server) accountByEmail(ctx context.Context, email string) (postgres.Account, error) {
	if strings.ContainsFunc(email, unicode.IsControl) {
		return postgres.Account{}, nil // PostgreSQL text cannot contain a NUL
	}
	account, err := s.db.AccountByEmail(ctx, email)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return postgres.Account{}, nil
	}
	if err != nil {
		return postgres.Account{}, fmt.Errorf("look up an account by email address: %w", err)
	}
	return account, nil
}

func tooManyLogins(wait time.Duration) error {
	return &retryError{after: wait, cause: schema.Errorf(schema.CodeRateLimited,
		"Too many failed attempts. Wait %s seconds and try again.", seconds(wait))}
}

// network returns the network that rate limits count as one client: the address itself for IPv4,
// and the /64 prefix for IPv6, which is the smallest network that a provider assigns.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if a = a.Unmap(); a.Is4() {
		return a.String()
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return p.String()
}
