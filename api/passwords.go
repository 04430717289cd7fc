package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

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

// nobody is a hash that no password has. It is checked where there is no
// account, so that an answer's time does not tell which accounts there are.
var nobody = sync.OnceValues(func() (string, error) { return HashPassword(rand.Text()) })

// passwords checks passwords, so many at once: each takes 64 MiB.
type passwords struct{ slots chan struct{} }

func newPasswords(atOnce int) *passwords { return &passwords{slots: make(chan struct{}, atOnce)} }

// check says whether password belongs to hash; an empty hash takes as long and
// is never right. It fails with ctx's error if no slot comes free before ctx ends.
func (p *passwords) check(ctx context.Context, password, hash string) (bool, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return false, fmt.Errorf("wait to check a password: %w", ctx.Err())
	}
	known := hash != ""
	if !known {
		var err error
		if hash, err = nobody(); err != nil {
			return false, err
		}
	}
	right, err := argon2id.ComparePasswordAndHash(password, hash)
	if err != nil {
		return false, fmt.Errorf("check password: %w", err)
	}
	return right && known, nil
}
