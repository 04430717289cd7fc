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

// hashParams are the second recommended parameters of RFC 9106, section 4: 64 MiB, 3 passes and
// 4 lanes.
var hashParams = &argon2id.Params{
	Memory:      64 << 10, // KiB
	Iterations:  3,
	Parallelism: 4,
	SaltLength:  16,
	KeyLength:   32,
}

// HashPassword returns the argon2id hash of password in the standard encoded form in which it is
// stored with the user. It takes about a tenth of a second and 64 MiB of memory.
func HashPassword(password string) (string, error) {
	if password == "" {
		return "", errors.New("hash password: it is empty")
	}
	hash, err := argon2id.CreateHash(password, hashParams)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return hash, nil
}

// hashWaitTimeout bounds how long a request waits while other passwords are being hashed.
const hashWaitTimeout = 5 * time.Second

// passwords hashes and checks passwords. It limits how many are hashed concurrently, because each
// takes 64 MiB of memory.
type passwords struct {
	slots chan struct{}
	// dummyHash matches no password. It is checked when there is no account or the account has no
	// password, so that the response time does not reveal which accounts exist.
	dummyHash string
}

func newPasswords(concurrency int) *passwords {
	random := make([]byte, hashParams.SaltLength+hashParams.KeyLength)
	_, _ = rand.Read(random) // never fails
	salt, key := random[:hashParams.SaltLength], random[hashParams.SaltLength:]
	encode := base64.RawStdEncoding.EncodeToString
	return &passwords{
		slots: make(chan struct{}, concurrency),
		dummyHash: fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s",
			hashParams.Memory, hashParams.Iterations, hashParams.Parallelism,
			encode(salt), encode(key)),
	}
}

// acquire waits for a free slot and returns the function that releases it. It fails with
// context.DeadlineExceeded after hashWaitTimeout.
func (p *passwords) acquire(ctx context.Context) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, hashWaitTimeout)
	defer cancel()
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to hash a password: %w", ctx.Err())
	}
}

// hash calls HashPassword when a slot is free.
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	release, err := p.acquire(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	return HashPassword(password)
}

// check reports whether password matches hash. An empty hash matches no password; checking it
// takes as long as checking any other.
func (p *passwords) check(ctx context.Context, password, hash string) (bool, error) {
	release, err := p.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	exists := hash != ""
	if !exists {
		hash = p.dummyHash
	}
	match, err := argon2id.ComparePasswordAndHash(password, hash)
	if err != nil {
		return false, fmt.Errorf("compare with the stored hash: %w", err)
	}
	return match && exists, nil
}
