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

// RolePasswords are the passwords of the roles that servers use.
type RolePasswords struct{ API, Auth, Worker string }

// ProvisionRoles sets the passwords of the roles api, auth and worker, which the migrations create,
// and permits them to log in. It takes the privilege to create temporary tables from all roles: in
// a session of a pool, such a table could replace a table for the requests of other users. The URL
// must have the owner's role. ProvisionRoles can be repeated with other passwords; open sessions
// are not affected.
func ProvisionRoles(ctx context.Context, ownerURL string, passwords RolePasswords) error {
	if passwords.API == "" || passwords.Auth == "" || passwords.Worker == "" {
		return errors.New("provision roles: a password is empty")
	}
	db, err := Open(ownerURL, Options{MaxConns: 1})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for _, role := range []struct{ name, password string }{
		{"api", passwords.API},
		{"auth", passwords.Auth},
		{"worker", passwords.Worker},
	} {
		if err := db.alterRole(ctx, role.name, role.password); err != nil {
			return wrap(ctx, err, "set the password of role %s", role.name)
		}
	}
	err = db.alterShared(ctx, `
		DO $$ BEGIN
			EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
		END $$`)
	return wrap(ctx, err, "revoke the privilege to create temporary tables")
}

func (db *DB) alterRole(ctx context.Context, name, password string) error {
	verifier, err := scramVerifier(password)
	if err != nil {
		return err
	}
	return db.alterShared(ctx, `ALTER ROLE `+pq.QuoteIdentifier(name)+
		` LOGIN PASSWORD `+pq.QuoteLiteral(verifier))
}

// alterShared changes something that belongs to the whole server, which rejects concurrent changes
// of the same thing.
func (db *DB) alterShared(ctx context.Context, statement string) error {
	for attempt := 1; ; attempt++ {
		_, err := db.pool.ExecContext(ctx, statement)
		if err != nil && attempt < 5 && strings.Contains(err.Error(), "tuple concurrently updated") {
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

// scramVerifier returns the value that PostgreSQL stores for a password:
// SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>, see RFC 5803 and
// https://www.postgresql.org/docs/current/catalog-pg-authid.html. With it, the password itself is
// neither sent to the server nor written to its log. The password is not normalized with SASLprep,
// because the passwords of the roles are ASCII.
func scramVerifier(password string) (string, error) {
	const iterations = 4096 // PostgreSQL's default
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("generate a salt: %w", err)
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
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s",
		iterations, encode(salt), encode(stored[:]), encode(sign("Server Key"))), nil
}
