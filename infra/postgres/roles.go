package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lib/pq"
)

// ProvisionRoles lets the roles api and worker, which the migrations make, sign in with these passwords. The URL's role is the
// owner. It can be repeated, with other passwords too; sessions that are open stay so.
func ProvisionRoles(ctx context.Context, ownerURL, apiPassword, workerPassword string) error {
	if apiPassword == "" || workerPassword == "" {
		return errors.New("provision roles: a password is empty")
	}
	db, err := Open(ctx, ownerURL, Options{MaxConns: 1})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for _, role := range []struct{ name, password string }{{"api", apiPassword}, {"worker", workerPassword}} {
		if err := db.alterRole(ctx, role.name, role.password); err != nil {
			return wrap(ctx, err, "let role %s sign in", role.name)
		}
	}
	return nil
}

func (db *DB) alterRole(ctx context.Context, name, password string) error {
	verifier, err := scramVerifier(password)
	if err != nil {
		return err
	}
	statement := `ALTER ROLE ` + pq.QuoteIdentifier(name) + ` LOGIN PASSWORD ` + pq.QuoteLiteral(verifier)
	for try := 1; ; try++ {
		_, err := db.pool.ExecContext(ctx, statement)
		// Roles belong to the whole server, and it refuses two changes of one row at the same moment.
		if err != nil && try < 5 && strings.Contains(err.Error(), "tuple concurrently updated") {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Millisecond):
				continue
			}
		}
		return err
	}
}

// scramVerifier returns what PostgreSQL stores for a password, so that the password itself reaches neither the server
// nor its log: SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>, RFC 5803 and
// https://www.postgresql.org/docs/current/catalog-pg-authid.html. Passwords are not normalized (SASLprep): ours are ASCII.
func scramVerifier(password string) (string, error) {
	const iterations = 4096 // PostgreSQL's own
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("make a salt: %w", err)
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("derive a key: %w", err)
	}
	sign := func(text string) []byte {
		mac := hmac.New(sha256.New, salted)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	stored := sha256.Sum256(sign("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(stored[:]), encode(sign("Server Key"))), nil
}
