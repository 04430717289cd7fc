package api

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

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

// hashConcurrency returns how many passwords may be hashed concurrently: at most configured, no
// more than it takes to use all processors, and no more than use a third of memoryLimit. That is
// Go's memory limit in bytes, which Go may exceed by what is allocated at once, and the memory of
// earlier hashes is in use until it is collected.
func hashConcurrency(configured, processors int, memoryLimit int64) int {
	lanes := int(hashParams.Parallelism)
	busy := (processors + lanes - 1) / lanes
	fitting := memoryLimit / 3 / (int64(hashParams.Memory) << 10)
	return int(max(1, min(int64(configured), int64(busy), fitting)))
}

// passwords compares passwords with their hashes.
type passwords struct {
	// dummyHash matches no password. It is compared when there is no account or the account has no
	// password, so that the response time does not reveal which accounts exist.
	dummyHash string
}

func newPasswords() *passwords {
	random := make([]byte, hashParams.SaltLength+hashParams.KeyLength)
	_, _ = rand.Read(random) // never fails
	salt, key := random[:hashParams.SaltLength], random[hashParams.SaltLength:]
	encode := base64.RawStdEncoding.EncodeToString
	return &passwords{
		dummyHash: fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s",
			hashParams.Memory, hashParams.Iterations, hashParams.Parallelism,
			encode(salt), encode(key)),
	}
}

// matches reports whether the password matches hash. An empty hash matches no password; comparing
// it takes as long as comparing any other.
func (p *passwords) matches(password, hash string) (bool, error) {
	exists := hash != ""
	if !exists {
		hash = p.dummyHash
	}
	match, err := argon2id.ComparePasswordAndHash(password, hash)
	if err != nil {
		return false, fmt.Errorf("compare a password with the stored hash: %w", err)
	}
	return match && exists, nil
}
