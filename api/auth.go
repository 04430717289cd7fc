package api

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"intray/infra/postgres"
	"intray/schema"
)

// Login starts a session for an email address and a password. The response and its cost are the
// same whether the account does not exist, has no password or has a different password.
func (s *server) Login(ctx context.Context, r LoginRequestObject) (LoginResponseObject, error) {
	cookies, wantsCookie := authCookiesOf(ctx), r.Body.Cookie != nil && *r.Body.Cookie
	// A page of another origin could not use the cookie. If it could set it, it could sign the user in
	// to an account of somebody else.
	if wantsCookie && cookies.fromBrowser && !cookies.fromOwnPage {
		return nil, errForeignOrigin
	}
	var account postgres.Account
	email, password := r.Body.Email, r.Body.Password
	presented := credentialsOf(ctx, email, password)
	presented.device = s.device(cookies, presented.account)
	correct, err := s.checkPassword(ctx, presented, func() (hash string, err error) {
		account, err = s.accountByEmail(ctx, email)
		return account.PasswordHash, err
	})
	s.recordFailure(ctx, presented, correct, err)
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
	if wantsCookie {
		s.keep(cookies, &token)
		s.rememberDevice(cookies, presented.account, presented.device)
	}
	return Login200JSONResponse(token), nil
}

// ChangePassword changes the caller's password and ends the caller's other sessions. Access tokens
// of those sessions remain valid until they expire.
func (s *server) ChangePassword(
	ctx context.Context, r ChangePasswordRequestObject,
) (ChangePasswordResponseObject, error) {
	current, next := r.Body.CurrentPassword, r.Body.NewPassword
	me, err := s.userDB(ctx).Me(ctx)
	if err != nil {
		return nil, err
	}
	if err := CheckNewPassword(next, me.Email); err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, `The member "new_password" %s.`, err).
			With(schema.Facts{Pointer: "/new_password"})
	}
	currentHash, err := s.auth.PasswordHash(ctx, me.ID)
	if err != nil {
		return nil, err
	}
	if currentHash == "" {
		return nil, schema.Errorf(schema.CodeForbidden,
			"This account has no password. Sign in through its identity provider.")
	}
	presented := credentialsOf(ctx, me.Email, current)
	correct, err := s.checkPassword(ctx, presented, func() (string, error) {
		return currentHash, nil
	})
	s.recordFailure(ctx, presented, correct, err)
	if err != nil {
		return nil, err
	}
	if !correct {
		return nil, schema.Errorf(schema.CodeInvalid,
			`The member "current_password" is not the account's password.`).
			With(schema.Facts{Pointer: "/current_password"})
	}
	if normalizePassword(next) == normalizePassword(current) {
		return nil, schema.Errorf(schema.CodeInvalid,
			`The member "new_password" is the current password. Choose a different one.`).
			With(schema.Facts{Pointer: "/new_password"})
	}
	newHash, err := s.hashPassword(ctx, credentialsOf(ctx, me.Email, next))
	if err != nil {
		return nil, fmt.Errorf("change the password of user %s: %w", me.ID, err)
	}
	changed, err := s.auth.ChangePassword(ctx, me.ID, currentHash, newHash, callerOf(ctx).session,
		clientOf(ctx))
	if err != nil {
		return nil, err
	}
	if !changed {
		return nil, schema.Errorf(schema.CodeInvalid,
			"Another request has just changed the password. Try again with the new password.")
	}
	return ChangePassword204Response{}, nil
}

// recordFailure records in the audit trail that a password was wrong, or was not checked because of
// a limit.
func (s *server) recordFailure(ctx context.Context, c credentials, correct bool, err error) {
	switch {
	case schema.CodeOf(err) == schema.CodeRateLimited:
		s.audit.signInFailed(ctx, c.account, "refused by a limit")
	case err == nil && !correct:
		s.audit.signInFailed(ctx, c.account, "wrong password or no such account")
	}
}

// accountByEmail returns the account with this email address, or the zero Account if there is none.
func (s *server) accountByEmail(ctx context.Context, email string) (postgres.Account, error) {
	if strings.ContainsFunc(email, unicode.IsControl) {
		return postgres.Account{}, nil // PostgreSQL text cannot contain a NUL
	}
	account, err := s.auth.AccountByEmail(ctx, email)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return postgres.Account{}, nil
	}
	if err != nil {
		return postgres.Account{}, fmt.Errorf("look up an account by email address: %w", err)
	}
	return account, nil
}
