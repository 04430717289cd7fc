package api

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"golang.org/x/text/unicode/norm"

	"intray/schema"
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

// MinPasswordLength and MaxPasswordLength limit the length of a new password in characters of its
// normalized form. The minimum is the one that NIST SP 800-63B requires for passwords without a
// second factor.
const MinPasswordLength, MaxPasswordLength = 15, 1024

// CheckNewPassword returns an error, which completes the sentence "the password …", unless the
// password can be the new password of the account with the email address.
func CheckNewPassword(password, email string) error {
	folded, address := schema.FoldCase(password), schema.FoldCase(email)
	name, _, _ := strings.Cut(address, "@")
	first, _ := utf8.DecodeRuneInString(folded)
	switch n := utf8.RuneCountInString(normalizePassword(password)); {
	case !utf8.ValidString(password):
		return errors.New("must be UTF-8")
	case n < MinPasswordLength:
		return fmt.Errorf("must have at least %d characters", MinPasswordLength)
	case n > MaxPasswordLength:
		return fmt.Errorf("must have at most %d characters", MaxPasswordLength)
	case strings.Trim(folded, string(first)) == "":
		return errors.New("must not be one repeated character")
	case folded == address || folded == name:
		return errors.New("must not be the email address of the account")
	case isCommon(password):
		return errors.New("must not consist of the most common passwords and sequences only")
	}
	return nil
}

// normalizePassword returns the password in Unicode normalization form C, as RFC 8265 requires.
// Keyboards differ in the form that they produce: for most of them "é" is one character, and for
// some it is "e" and an accent.
func normalizePassword(password string) string { return norm.NFC.String(password) }

// HashPassword returns the argon2id hash of the normalized password in the standard encoded form in
// which it is stored with the user. It takes about a tenth of a second and 64 MiB of memory.
func HashPassword(password string) (string, error) {
	if password == "" {
		return "", errors.New("hash password: it is empty")
	}
	hash, err := argon2id.CreateHash(normalizePassword(password), hashParams)
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
	for _, spelling := range spellings(password) {
		match, err := argon2id.ComparePasswordAndHash(spelling, hash)
		if err != nil {
			return false, fmt.Errorf("compare a password with the stored hash: %w", err)
		}
		if match {
			return exists, nil
		}
	}
	return false, nil
}

// spellings returns the forms of a password of which one may have been hashed: the normalized one,
// and those that were hashed before passwords were normalized. For a password in ASCII they are the
// same.
func spellings(password string) []string {
	all := []string{normalizePassword(password)}
	for _, other := range []string{password, norm.NFD.String(password)} {
		if !slices.Contains(all, other) {
			all = append(all, other)
		}
	}
	return all
}
