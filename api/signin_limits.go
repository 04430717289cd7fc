package api

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"intray/infra/connlimit"
	"intray/schema"
)

// signInLimits are the rate limits of the passwords that clients send, by client address and by
// account. Every password counts, because each costs 64 MiB of memory and a tenth of a second.
// Wrong passwords are limited to a lower rate, which prevents guessing.
type signInLimits struct {
	attempts, failures struct{ byAddress, byAccount *limiter }
}

func newSignInLimits(l Limits) *signInLimits {
	var s signInLimits
	s.attempts.byAddress = newLimiter(l.LoginsPerAddress)
	s.attempts.byAccount = newLimiter(l.LoginsPerAccount)
	s.failures.byAddress = newLimiter(l.FailedLoginsPerAddress)
	s.failures.byAccount = newLimiter(l.FailedLoginsPerAccount)
	return &s
}

// attempt counts an attempt. It fails with CodeRateLimited if there were too many attempts, or too
// many that failed. An attempt that is refused, times out or is canceled by the client still
// counts: otherwise a client could make any number of them.
func (s *signInLimits) attempt(c credentials, now time.Time) error {
	address, account := c.guesser()
	if wait := max(
		s.failures.byAddress.peek(address, now), s.failures.byAccount.peek(account, now),
	); wait > 0 {
		return tooManySignIns("Too many failed attempts.", wait)
	}
	if wait := s.attempts.byAddress.take(c.address, now); wait > 0 {
		return tooManySignIns("Too many sign-ins.", wait)
	}
	if wait := s.attempts.byAccount.take(account, now); wait > 0 {
		return tooManySignIns("Too many sign-ins.", wait)
	}
	return nil
}

// check calls match, which compares the password, unless there were too many failed attempts. It
// counts a failed attempt before the call, so that concurrent ones cannot exceed the limit, and
// takes that back only if the password matches.
func (s *signInLimits) check(
	c credentials, now time.Time, match func() (bool, error),
) (bool, error) {
	address, account := c.guesser()
	if wait := s.failures.byAddress.take(address, now); wait > 0 {
		return false, tooManySignIns("Too many failed attempts.", wait)
	}
	if wait := s.failures.byAccount.take(account, now); wait > 0 {
		return false, tooManySignIns("Too many failed attempts.", wait)
	}
	matches, err := match()
	if matches {
		s.failures.byAddress.putBack(address)
		s.failures.byAccount.putBack(account)
	}
	return matches, err
}

func tooManySignIns(what string, wait time.Duration) error {
	return &retryError{after: wait, cause: schema.Errorf(schema.CodeRateLimited,
		"%s Wait %s seconds and try again.", what, seconds(wait))}
}

// credentials are a password, the account that it is for, the address of the client that sent it,
// and the id of its browser if the account has signed in from there before (see device).
type credentials struct{ address, account, password, device string }

// guesser returns the address and the account to which wrong passwords are counted. A browser from
// which the account has signed in before counts as both, so that nobody else can lock it out.
func (c credentials) guesser() (address, account string) {
	if c.device != "" {
		return "device " + c.device, "device " + c.device
	}
	return c.address, c.account
}

// credentialsOf returns the credentials that the client of a request has sent for the account with
// the email address.
func credentialsOf(ctx context.Context, email, password string) credentials {
	return credentials{
		address: network(callerOf(ctx).address), account: schema.FoldCase(email), password: password,
	}
}

// checkPassword reports whether the password matches the hash that hashOf returns. It fails with
// CodeRateLimited if there were too many attempts for this account or from the client's address, or
// if too many other passwords are being checked.
func (s *server) checkPassword(
	ctx context.Context, c credentials, hashOf func() (string, error),
) (correct bool, err error) {
	if err := s.signIns.attempt(c, time.Now()); err != nil {
		return false, err
	}
	hash, err := hashOf()
	if err != nil {
		return false, err
	}
	release, err := s.awaitHashing(ctx, c)
	if err != nil {
		return false, err
	}
	defer release()
	return s.signIns.check(c, time.Now(), func() (bool, error) {
		return s.passwords.matches(c.password, hash)
	})
}

// hashPassword returns the hash of the new password of an account. It fails with CodeRateLimited if
// too many other passwords are being checked.
func (s *server) hashPassword(ctx context.Context, c credentials) (string, error) {
	release, err := s.awaitHashing(ctx, c)
	if err != nil {
		return "", err
	}
	defer release()
	return HashPassword(c.password)
}

// busyRetryAfter is the Retry-After of a sign-in that was refused because of others.
const busyRetryAfter = 5 * time.Second

// awaitHashing waits until a password may be hashed. The caller must call release afterwards.
func (s *server) awaitHashing(ctx context.Context, c credentials) (release func(), err error) {
	_, account := c.guesser()
	release, err = s.hashing.acquire(ctx, c.address, account)
	if errors.Is(err, errHashQueueBusy) {
		err = tooManySignIns("Too many people are signing in.", busyRetryAfter)
	} else if err != nil {
		err = fmt.Errorf("wait to hash a password: %w", err)
	}
	return release, err
}

// network returns the network that rate limits count as one client.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	return connlimit.NetworkOf(a).String()
}
