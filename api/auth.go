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

// Login starts a session for an email address and a password. An unknown
// account, a wrong password and a user without one get the same answer after
// the same work.
func (s *server) Login(ctx context.Context, r LoginRequestObject) (LoginResponseObject, error) {
	var account postgres.Account
	right, err := s.attempt(ctx, r.Body.Email, r.Body.Password, func() (hash string, err error) {
		account, err = s.account(ctx, r.Body.Email)
		return account.PasswordHash, err
	})
	if err != nil {
		return nil, err
	}
	if !right {
		return nil, schema.Errorf(schema.CodeUnauthenticated, "The email address or the password is wrong.")
	}
	token, err := s.startSession(ctx, account)
	if err != nil {
		return nil, err
	}
	return Login200JSONResponse(token), nil
}

// attempt reports whether the password is the account's, unless too many that were
// not have been tried, for this account or from the caller's address. Only wrong
// ones count.
func (s *server) attempt(ctx context.Context, email, password string, hashOf func() (string, error)) (right bool, err error) {
	now := time.Now()
	address, name := network(callerOf(ctx).address), strings.ToLower(email)
	if wait := s.addresses.take(address, now); wait > 0 {
		return false, tooManyLogins(wait)
	}
	if wait := s.accounts.take(name, now); wait > 0 {
		s.addresses.giveBack(address)
		return false, tooManyLogins(wait)
	}
	failed := false
	defer func() {
		if !failed { // nothing was learned about the password
			s.addresses.giveBack(address)
			s.accounts.giveBack(name)
		}
	}()
	hash, err := hashOf()
	if err != nil {
		return false, err
	}
	if right, err = s.passwords.check(ctx, password, hash); err != nil {
		return false, fmt.Errorf("check a password: %w", err)
	}
	failed = !right
	return right, nil
}

// ChangePassword changes the caller's own password and ends the caller's other
// sessions. Access tokens of those live on until they expire.
func (s *server) ChangePassword(ctx context.Context, r ChangePasswordRequestObject) (ChangePasswordResponseObject, error) {
	db := s.userDB(ctx)
	me, err := db.Me(ctx)
	if err != nil {
		return nil, err
	}
	checked, err := db.OwnPasswordHash(ctx)
	if err != nil {
		return nil, err
	}
	if checked == "" {
		return nil, schema.Errorf(schema.CodeForbidden, "This account has no password. It is signed in to with its identity provider.")
	}
	right, err := s.attempt(ctx, me.Email, r.Body.CurrentPassword, func() (string, error) { return checked, nil })
	if err != nil {
		return nil, err
	}
	if !right {
		return nil, schema.Errorf(schema.CodeInvalid, `The member "current_password" is not the account's password.`)
	}
	if r.Body.NewPassword == r.Body.CurrentPassword {
		return nil, schema.Errorf(schema.CodeInvalid, `The member "new_password" is the password that the account has. Choose another.`)
	}
	hash, err := s.passwords.hash(ctx, r.Body.NewPassword)
	if err != nil {
		return nil, fmt.Errorf("change the password of user %s: %w", me.ID, err)
	}
	changed, err := db.ChangeOwnPassword(ctx, checked, hash, callerOf(ctx).session)
	if err != nil {
		return nil, err
	}
	if !changed {
		return nil, schema.Errorf(schema.CodeInvalid, "The password was changed by another request just now. Try again with the new one.")
	}
	return ChangePassword204Response{}, nil
}

// account returns the account with this email address, or the zero Account.
func (s *server) account(ctx context.Context, email string) (postgres.Account, error) {
	if strings.ContainsFunc(email, unicode.IsControl) {
		return postgres.Account{}, nil // PostgreSQL would choke on a NUL
	}
	account, err := s.db.AccountByEmail(ctx, email)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return postgres.Account{}, nil
	}
	if err != nil {
		return postgres.Account{}, fmt.Errorf("login: %w", err)
	}
	return account, nil
}

func tooManyLogins(wait time.Duration) error {
	return &retryError{after: wait, cause: schema.Errorf(schema.CodeRateLimited,
		"Too many failed attempts. Wait %s seconds and try again.", seconds(wait))}
}

// network is what counts as one address: an IPv4 address, or an IPv6 /64, which
// is the least that anybody is given.
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
