package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/google/uuid"
	miniogo "github.com/minio/minio-go/v7"

	"intray/infra/postgres"
	"intray/schema"
)

// Domain is the end of the email addresses of the users that a measurement creates. The top-level
// domain invalid is reserved (RFC 2606), so no mail is delivered to them.
const Domain = "@bench.invalid"

// quota is the quota of each user in bytes, large enough for any run.
const quota = 1 << 40

// newPassword returns a random password and its hash. The hash is weak and therefore quick to
// check, because logins are not measured.
func newPassword() (password, hash string, err error) {
	password = rand.Text()
	weak := &argon2id.Params{
		Memory: 1024, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32,
	}
	if hash, err = argon2id.CreateHash(password, weak); err != nil {
		return "", "", fmt.Errorf("hash a password: %w", err)
	}
	return password, hash, nil
}

// addUser creates a user. With an empty hash, the user cannot log in.
func (b *bench) addUser(ctx context.Context, name, hash string) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("generate a user id: %w", err)
	}
	user := postgres.NewUser{ID: id, Email: name + Domain, PasswordHash: hash, LimitBytes: quota}
	if err := b.db.AddUser(ctx, user); err != nil {
		return err
	}
	b.users = append(b.users, id)
	return nil
}

// addRows adds the configured number of classified documents without objects to the table.
func (b *bench) addRows(ctx context.Context) error {
	const page = 20_000
	now := time.Now().UTC()
	for done := 0; done < b.Rows; done += page {
		docs := make([]schema.Document, min(page, b.Rows-done))
		for i := range docs {
			at := now.Add(-time.Duration(b.Rows-done-i) * time.Second)
			docs[i] = b.document(idAt(at), at)
			docs[i].Status, docs[i].Size, docs[i].Version = schema.StatusClassified, 0, 3
		}
		if err := b.sql.addDocuments(ctx, docs); err != nil {
			return err
		}
		b.Progress("rows added", done+len(docs), b.Rows)
	}
	return nil
}

// cleanup removes the users of this run and of earlier runs, with their documents and objects. It
// deletes the objects with the option ForceDelete, for which MinIO publishes no event.
func (b *bench) cleanup(ctx context.Context) error {
	all, err := b.db.Users(ctx)
	if err != nil {
		return err
	}
	var users []uuid.UUID
	for _, u := range all {
		if strings.HasSuffix(u.Email, Domain) {
			users = append(users, u.ID)
		}
	}
	if len(users) == 0 {
		return nil
	}
	const page = 5000
	for removed := 0; ; {
		rows, err := b.sql.documentsOf(ctx, users, uuid.Nil, page)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		remove := func(ctx context.Context, i int) error {
			if rows[i].Size == 0 { // the document has no object
				return nil
			}
			options := miniogo.RemoveObjectOptions{ForceDelete: true}
			return b.core.RemoveObject(ctx, b.MinIO.Bucket, rows[i].ObjectKey, options)
		}
		err = b.Progress.concurrently(ctx, "objects deleted", len(rows), remove)
		if err != nil {
			return fmt.Errorf("delete objects: %w", err)
		}
		if err := b.sql.removeDocuments(ctx, rows); err != nil {
			return err
		}
		removed += len(rows)
		b.Progress("documents removed", removed, 0)
	}
	b.users = nil
	return b.sql.removeUsers(ctx, users)
}
