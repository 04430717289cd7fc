package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// The role api binds a transaction to a user with a proof, which the database checks: the user's
// id, the time at which the proof expires, and the HMAC-SHA-256 of both. The key is stored in the
// database, where the role api cannot read it, and this process reads it with the role auth. So a
// statement that was injected into a query of the API cannot bind to another user, because nothing
// that the role api can read or call makes a proof. See docs/adr/0036-user-proofs.md and the
// function proven_user of the database.

// proofTTL is how long a proof is valid by the clock of the server. A proof is made for one
// transaction, so this only has to cover errors of the estimate of that clock.
const proofTTL = 5 * time.Minute

// A proofKey makes proofs.
type proofKey []byte

// prove returns a proof of the user that is valid until proofTTL after now.
func (k proofKey) prove(user uuid.UUID, now time.Time) string {
	message := fmt.Appendf(make([]byte, 0, 112), "%s %010d", user, now.Add(proofTTL).Unix())
	mac := hmac.New(sha256.New, k)
	mac.Write(message)
	return string(hex.AppendEncode(append(message, ' '), mac.Sum(nil)))
}

// withProofs calls f with a function that makes proofs. If the server refuses a proof, because its
// key was replaced, withProofs reads the new key and calls f once more. A refused proof has changed
// nothing.
func (db *DB) withProofs(
	ctx context.Context, f func(prove func(user uuid.UUID) string) error,
) error {
	if db.auth == nil {
		return errors.New("the DB cannot bind to users: it was opened without Options.Auth")
	}
	for attempt := 1; ; attempt++ {
		key, err := db.auth.proofKey(ctx)
		if err != nil {
			return err
		}
		err = f(func(user uuid.UUID) string { return key.prove(user, db.EstimatedNow()) })
		if attempt == 1 && hasCode(err, proofRefused) {
			db.auth.forgetProofKey(key)
			continue
		}
		return err
	}
}
