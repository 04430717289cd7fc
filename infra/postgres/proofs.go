package postgres

import (
	"context"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"time"

	"github.com/google/uuid"
)

// The role api binds a transaction to a user with a proof, which the database checks. The key of
// the proofs is stored in the database, where the role api cannot read it; this process reads it
// with the role auth. So a statement that was injected into a query of the API cannot bind to
// another user, because nothing that the role api can read or call makes a proof. See
// docs/adr/0036-user-proofs.md and the function is_proven of the database.

// proofTTL is how long a proof is valid by the clock of the server. A proof is made for one
// transaction, so this only has to cover the wait for a connection, and errors of the estimate of
// that clock.
const proofTTL = 5 * time.Minute

// A prover makes proofs that users were authenticated.
type prover struct {
	key     []byte
	expires int64 // when the proofs expire, in seconds since 1970
}

// mac returns the proof of a user: the SHA-384 of the key, the user's id and the time at which the
// proof expires.
func (p prover) mac(user uuid.UUID) []byte {
	text := make([]byte, 0, 64)
	text = append(append(text, p.key...), user[:]...)
	mac := sha512.Sum384(binary.BigEndian.AppendUint64(text, uint64(p.expires)))
	return mac[:]
}

// withProver calls f with a prover. If the server refuses a proof, because the key was replaced,
// withProver reads the new key and calls f once more. A refused proof has changed nothing.
func (db *DB) withProver(ctx context.Context, f func(prover) error) error {
	if db.auth == nil {
		return errors.New("the DB cannot bind to users: it was opened without Options.Auth")
	}
	for attempt := 1; ; attempt++ {
		key, err := db.auth.proofKey(ctx)
		if err != nil {
			return err
		}
		err = f(prover{key, db.EstimatedNow().Add(proofTTL).Unix()})
		if attempt == 1 && hasCode(err, proofRefused) {
			db.auth.forgetProofKey(key)
			continue
		}
		return err
	}
}
