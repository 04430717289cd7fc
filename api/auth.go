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

// hashWait bounds how long a login waits for others' passwords to be checked.
const hashWait = 5 * time.Second

// Login gives an access token for an email address and a password. An unknown
// account, a wrong password and a user without one get the same answer after
// the same work. Only failed attempts count against the limits.
func (s *server) Login(ctx context.Context, r LoginRequestObject) (LoginResponseObject, error) {
	now := time.Now()
	address := network(callerOf(ctx).address)
	name := strings.ToLower(r.Body.Email)
	if wait := s.addresses.take(address, now); wait > 0 {
		return nil, tooManyLogins(wait)
	}
	if wait := s.accounts.take(name, now); wait > 0 {
		return nil, tooManyLogins(wait)
	}
	failed := false
	defer func() {
		if !failed { // nothing was learned about the password
			s.addresses.giveBack(address)
			s.accounts.giveBack(name)
		}
	}()
	account, err := s.account(ctx, r.Body.Email)
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, hashWait)
	defer cancel()
	right, err := s.passwords.check(waiting, r.Body.Password, account.PasswordHash)
	if err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	if failed = !right; failed {
		return nil, schema.Errorf(schema.CodeUnauthenticated, "The email address or the password is wrong.")
	}
	token, err := s.tokens.issue(account.ID, account.Role, now)
	if err != nil {
		return nil, fmt.Errorf("login of user %s: %w", account.ID, err)
	}
	return Login200JSONResponse{
		AccessToken: token, TokenType: TokenTokenTypeBearer, ExpiresIn: int(tokenLife.Seconds()),
	}, nil
}

// account returns the account with this email address, or the zero Account.
func (s *server) account(ctx context.Context, email string) (postgres.Account, error) {
	if strings.ContainsFunc(email, unicode.IsControl) {
		return postgres.Account{}, nil // PostgreSQL would choke on a NUL
	}
	account, err := s.db.Login(ctx, email)
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
		"Too many failed attempts to sign in. Wait %s seconds and try again.", seconds(wait))}
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
