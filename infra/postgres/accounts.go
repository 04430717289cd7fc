package postgres

import (
	"context"
	"database/sql"
	"errors"

	"github.com/google/uuid"

	"intray/schema"
)

// The operator's calls on accounts. Their role is the owner.

// ErrLastAdmin is what demoting or removing the only administrator gives.
var ErrLastAdmin = errors.New("this is the last administrator: make another account one first")

// FindUser returns the user with an email address, ignoring case, or with an id. It fails with ErrUserNotFound.
func (db *DB) FindUser(ctx context.Context, who string) (u schema.User, err error) {
	condition, arg := `lower(u.email) = lower($1)`, any(who)
	if id, err := uuid.Parse(who); err == nil {
		condition, arg = `u.id = $1`, id
	}
	err = db.pool.GetContext(ctx, &u, `SELECT `+userColumns+` FROM users AS u JOIN quotas AS q ON q.user_id = u.id WHERE `+condition, arg)
	if errors.Is(err, sql.ErrNoRows) {
		return schema.User{}, ErrUserNotFound
	}
	return u, wrap(ctx, err, "find a user")
}

// An AccountPatch changes what is not nil.
type AccountPatch struct {
	UserPatch
	Role *schema.Role
	// PasswordHash also ends all sessions of the user.
	PasswordHash *string
}

// ChangeAccount changes an account, all of it or nothing, and returns it as it is then. It fails with ErrUserNotFound, and with
// ErrLastAdmin if no administrator would be left.
func (db *DB) ChangeAccount(ctx context.Context, id uuid.UUID, p AccountPatch) (u schema.User, err error) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		if p.Role != nil && *p.Role != schema.RoleAdmin {
			if err := tx.lockOtherAdmins(ctx, id); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE users SET role = coalesce($2, role), ai_provider = coalesce($3, ai_provider),
				ai_model = coalesce($4, ai_model), password_hash = coalesce($5, password_hash) WHERE id = $1`,
			id, p.Role, p.AIProvider, p.AIModel, p.PasswordHash); err != nil {
			return err
		}
		if p.PasswordHash != nil {
			if _, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = $1`, id); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE quotas SET limit_bytes = coalesce($2, limit_bytes) WHERE user_id = $1`, id, p.LimitBytes); err != nil {
			return err
		}
		err := tx.GetContext(ctx, &u, `SELECT `+userColumns+` FROM users AS u JOIN quotas AS q ON q.user_id = u.id WHERE u.id = $1`, id)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrUserNotFound
		}
		return err
	})
	if errors.Is(err, ErrLastAdmin) {
		return schema.User{}, err
	}
	return u, wrap(ctx, err, "change user %s", id)
}

// lockOtherAdmins fails with ErrLastAdmin if the user is the only administrator. Otherwise the others,
// if it is one, stay so until the transaction ends: two that are demoted concurrently wait for each
// other here.
func (tx *tx) lockOtherAdmins(ctx context.Context, id uuid.UUID) error {
	var admins []uuid.UUID
	if err := tx.SelectContext(ctx, &admins, `SELECT id FROM users WHERE role = 'admin' ORDER BY id FOR NO KEY UPDATE`); err != nil {
		return err
	}
	if len(admins) == 1 && admins[0] == id {
		return ErrLastAdmin
	}
	return nil
}

// UserContents are what goes with a user who is removed.
type UserContents struct {
	// Documents are counted by their status.
	Documents map[schema.Status]int64
	// ChargedBytes is what they are charged together.
	ChargedBytes int64
	Topics       int64
	Sessions     int64
}

// UserContents counts what a user has.
func (db *DB) UserContents(ctx context.Context, id uuid.UUID) (b UserContents, err error) {
	var counts []struct {
		Status schema.Status `db:"status"`
		N      int64         `db:"n"`
		Bytes  int64         `db:"bytes"`
	}
	b.Documents = map[schema.Status]int64{}
	err = db.inTransaction(ctx, func(tx *tx) error {
		if err := tx.SelectContext(ctx, &counts, `SELECT status, count(*) AS n, coalesce(sum(charged_bytes), 0)::bigint AS bytes
			FROM documents WHERE user_id = $1 GROUP BY status`, id); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM topics WHERE user_id = $1), (SELECT count(*) FROM sessions WHERE user_id = $1)`, id).
			Scan(&b.Topics, &b.Sessions)
	})
	for _, c := range counts {
		b.Documents[c.Status] = c.N
		b.ChargedBytes += c.Bytes
	}
	return b, wrap(ctx, err, "count what user %s has", id)
}

// DisableAccount takes every way to sign in from a user, and the rights of an administrator: the first step of removing one. Access
// tokens that are out last until the user is removed. It fails with ErrLastAdmin.
func (db *DB) DisableAccount(ctx context.Context, id uuid.UUID) error {
	err := db.inTransaction(ctx, func(tx *tx) error {
		if err := tx.lockOtherAdmins(ctx, id); err != nil {
			return err
		}
		for _, statement := range []string{
			`UPDATE users SET password_hash = NULL, role = 'user' WHERE id = $1`,
			`UPDATE user_identities SET user_id = NULL WHERE user_id = $1`, // remembered as one that was removed
			`DELETE FROM sessions WHERE user_id = $1`,
		} {
			if _, err := tx.ExecContext(ctx, statement, id); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, ErrLastAdmin) {
		return err
	}
	return wrap(ctx, err, "close the account of user %s", id)
}

// RemoveUserDocuments deletes the rows of a user's documents, at most limit of them, gives their charges back, and records an
// object deletion for each, whatever its status: one that waits for its file may get it at any time. It returns how many
// it deleted.
func (db *DB) RemoveUserDocuments(ctx context.Context, id uuid.UUID, limit int) (n int, err error) {
	for try := 1; ; try++ {
		n, err = db.removeDocumentsOf(ctx, id, limit)
		if try < maxTransitionAttempts && ctx.Err() == nil && hasCode(err, deadlockDetected, serializationFailure) {
			continue
		}
		return n, wrap(ctx, err, "remove documents of user %s", id)
	}
}

func (db *DB) removeDocumentsOf(ctx context.Context, id uuid.UUID, limit int) (n int, err error) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		// Locked in the order of Transition: documents by id, the quota, object deletions by key.
		var docs []schema.Document
		if err := tx.SelectContext(ctx, &docs, `SELECT `+documentColumns+` FROM documents WHERE user_id = $1
			ORDER BY id LIMIT $2 FOR UPDATE`, id, limit); err != nil || len(docs) == 0 {
			return err
		}
		given, ids, charged := make([]*schema.Document, len(docs)), make([]uuid.UUID, len(docs)), int64(0)
		for i := range docs {
			given[i], ids[i] = &docs[i], docs[i].ID
			charged += docs[i].ChargedBytes
		}
		if _, err := tx.ExecContext(ctx, `UPDATE quotas SET used_bytes = used_bytes - $2 WHERE user_id = $1`, id, charged); err != nil {
			return err
		}
		if err := tx.requestDeletions(ctx, given); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM documents
			WHERE `+anyOf("id", "$1::uuid[]", len(ids))+` AND `+foreignKeysByIndex, array(ids))
		n = len(docs)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// RemoveUser deletes a user who has no documents, with quota, topics and sessions. It returns false, and does nothing, if there
// are documents. That there is no such user is no error. The address is free afterwards.
func (db *DB) RemoveUser(ctx context.Context, id uuid.UUID) (removed bool, err error) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		// Whoever stores a document holds the quota, then the user's row for the foreign key: none comes from here on.
		for _, lock := range []string{`SELECT FROM quotas WHERE user_id = $1 FOR UPDATE`, `SELECT FROM users WHERE id = $1 FOR UPDATE`} {
			if _, err := tx.ExecContext(ctx, lock, id); err != nil {
				return err
			}
		}
		if err := tx.GetContext(ctx, &removed, `SELECT NOT EXISTS (SELECT FROM documents WHERE user_id = $1)`, id); err != nil || !removed {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM quotas WHERE user_id = $1`, id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM users WHERE id = $1`, id)
		return err
	})
	return removed && err == nil, wrap(ctx, err, "remove user %s", id)
}
