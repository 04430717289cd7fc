package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/alexedwards/argon2id"
)

// hashing is RFC 9106's second recommended option (section 4): 64 MiB, 3 passes,
// 4 lanes.
var hashing = &argon2id.Params{Memory: 64 << 10, Iterations: 3, Parallelism: 4, SaltLength: 16, KeyLength: 32}

// HashPassword returns password's argon2id hash in the usual text form, as it is
// kept with the user. It takes about a tenth of a second and 64 MiB.
func HashPassword(password string) (string, error) {
	if password == "" {
		return "", errors.New("hash password: it is empty")
	}
	hash, err := argon2id.CreateHash(password, hashing)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return hash, nil
}

// hashWait bounds how long a request waits for others' passwords to be hashed.
const hashWait = 5 * time.Second

// passwords hashes passwords, so many at once: each takes 64 MiB.
type passwords struct {
	slots chan struct{}
	// nobody is a hash that no password has. It is checked where there is no
	// account, so that an answer's time does not tell which accounts there are.
	nobody string
}

func newPasswords(atOnce int) *passwords {
	random := make([]byte, hashing.SaltLength+hashing.KeyLength)
	_, _ = rand.Read(random) // never fails
	encode := base64.RawStdEncoding.EncodeToString
	return &passwords{slots: make(chan struct{}, atOnce), nobody: fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s",
		hashing.Memory, hashing.Iterations, hashing.Parallelism, encode(random[:hashing.SaltLength]), encode(random[hashing.SaltLength:]))}
}

// slot waits for its turn and returns what ends it. It fails with
// context.DeadlineExceeded after hashWait.
func (p *passwords) slot(ctx context.Context) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, hashWait)
	defer cancel()
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to hash a password: %w", ctx.Err())
	}
}

// hash is HashPassword in its turn.
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	release, err := p.slot(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	return HashPassword(password)
}

// check reports whether password belongs to hash; an empty hash takes as long and
// is never right.
func (p *passwords) check(ctx context.Context, password, hash string) (bool, error) {
	release, err := p.slot(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	known := hash != ""
	if !known {
		hash = p.nobody
	}
	right, err := argon2id.ComparePasswordAndHash(password, hash)
	if err != nil {
		return false, fmt.Errorf("check password: %w", err)
	}
	return right && known, nil
}
