package postgres

import (
	"bytes"
	"cmp"
	"context"
	"net/netip"
	"sync"

	"github.com/google/uuid"
)

// Auth is a pool of connections with the role auth, which signs users in. Only this role can read
// password hashes, and start, refresh and end sessions. It can do nothing else, and can do that for
// every user, so its statements must not contain anything that a client has sent, except as
// parameters. It is safe for concurrent use.
type Auth struct {
	db *DB

	mu  sync.Mutex
	key []byte // nil if it was not read yet, or was replaced
}

// OpenAuth returns an Auth for a connection string with the role auth. [Open] describes the string
// and the options. By default it has 8 connections.
func OpenAuth(url string, o Options) (*Auth, error) {
	o.MaxConns = cmp.Or(o.MaxConns, 8)
	db, err := Open(url, o)
	if err != nil {
		return nil, err
	}
	return &Auth{db: db}, nil
}

// Close closes all connections.
func (a *Auth) Close() error { return a.db.Close() }

// Ping verifies that the server answers and accepts the role. It fails as [DB.Ping] does.
func (a *Auth) Ping(ctx context.Context) error { return a.db.Ping(ctx) }

// proofKey returns the key that makes proofs. It reads the key only once, until forgetProofKey.
func (a *Auth) proofKey(ctx context.Context) ([]byte, error) {
	a.mu.Lock()
	key := a.key
	a.mu.Unlock()
	if key != nil {
		return key, nil
	}
	if err := a.db.pool.GetContext(ctx, &key, `SELECT proof_key()`); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.key = key
	return key, nil
}

// forgetProofKey makes the next call of proofKey read the key again, unless it already differs from
// key.
func (a *Auth) forgetProofKey(key []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if bytes.Equal(a.key, key) {
		a.key = nil
	}
}

// PasswordHash returns the password hash of a user, or "" if the user has no password or does not
// exist.
func (a *Auth) PasswordHash(ctx context.Context, user uuid.UUID) (string, error) {
	var hash *string
	err := a.db.pool.GetContext(ctx, &hash, `SELECT user_password_hash($1)`, user)
	if err != nil || hash == nil {
		return "", wrap(ctx, err, "read the password of user %s", user)
	}
	return *hash, nil
}

// ChangePassword sets the password hash of a user, deletes the user's sessions other than
// keptSession, and returns true. It returns false and changes nothing if the hash is no longer
// verifiedHash. If keptSession is uuid.Nil, it deletes all sessions. The audit trail records the
// address of the client, which may be invalid.
func (a *Auth) ChangePassword(
	ctx context.Context, user uuid.UUID, verifiedHash, newHash string, keptSession uuid.UUID,
	client netip.Addr,
) (changed bool, err error) {
	err = a.db.pool.GetContext(ctx, &changed, `SELECT change_password($1, $2, $3, $4, $5)`,
		user, verifiedHash, newHash,
		uuid.NullUUID{UUID: keptSession, Valid: keptSession != uuid.Nil}, clientAddress(client))
	return changed, wrap(ctx, err, "change the password of user %s", user)
}
