package postgres

import (
	"context"
	"database/sql"
	"errors"

	"github.com/google/uuid"

	"intray/schema"
)

// The methods in this file manage accounts for operators. They require the owner's role.

// ErrLastAdmin means that a call would demote or remove the only administrator.
var ErrLastAdmin = errors.New("this is the last administrator: " +
	"make another account an administrator first")

// FindUser returns the user with an id, or with an email address as in AccountByEmail. It fails
// with ErrUserNotFound.
func (db *DB) FindUser(ctx context.Context, emailOrID string) (u schema.User, err error) {
	clauses, arg := `WHERE u.email = $1 OR (case_fold(u.email) = case_fold($1) AND NOT u.exact_email)
		ORDER BY u.email = $1 DESC LIMIT 1`, any(emailOrID)
	if id, err := uuid.Parse(emailOrID); err == nil {
		clauses, arg = `WHERE u.id = $1`, id
	}
	err = db.pool.GetContext(ctx, &u, selectUsers+clauses, arg)
	if errors.Is(err, sql.ErrNoRows) {
		return schema.User{}, ErrUserNotFound
	}
	return u, wrap(ctx, err, "find a user")
}

// An AccountPatch contains the new values of an account. Fields that are nil do not change.
type AccountPatch struct {
	UserPatch
	Role *schema.Role
	// PasswordHash replaces the password and ends all sessions of the user.
	PasswordHash *string
}

// ChangeAccount applies the patch to an account in one transaction and returns the account. It
// fails with ErrUserNotFound, and with ErrLastAdmin if no administrator would remain.
func (db *DB) ChangeAccount(
	ctx context.Context, id uuid.UUID, p AccountPatch,
) (u schema.User, err error) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		if p.Role != nil && *p.Role != schema.RoleAdmin {
			if err := tx.requireAnotherAdmin(ctx, id); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `
			UPDATE users SET role = coalesce($2, role), ai_provider = coalesce($3, ai_provider),
				ai_model = coalesce($4, ai_model), password_hash = coalesce($5, password_hash)
			WHERE id = $1`,
			id, p.Role, p.AIProvider, p.AIModel, p.PasswordHash); err != nil {
			return err
		}
		if p.PasswordHash != nil {
			_, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = $1`, id)
			if err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `
			UPDATE quotas SET limit_bytes = coalesce($2, limit_bytes) WHERE user_id = $1`,
			id, p.LimitBytes); err != nil {
			return err
		}
		err := tx.GetContext(ctx, &u, selectUsers+`WHERE u.id = $1`, id)
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

// requireAnotherAdmin fails with ErrLastAdmin if the user is the only administrator. It locks the
// rows of all administrators until the transaction ends. So if two administrators are demoted
// concurrently, the second transaction waits for the first.
func (tx *tx) requireAnotherAdmin(ctx context.Context, id uuid.UUID) error {
	var admins []uuid.UUID
	err := tx.SelectContext(ctx, &admins,
		`SELECT id FROM users WHERE role = 'admin' ORDER BY id FOR NO KEY UPDATE`)
	if err != nil {
		return err
	}
	if len(admins) == 1 && admins[0] == id {
		return ErrLastAdmin
	}
	return nil
}

// UserContents summarizes what is deleted together with a user.
type UserContents struct {
	// Documents is the number of documents in each status.
	Documents map[schema.Status]int64
	// ChargedBytes is the sum of the documents' charges.
	ChargedBytes int64
	Topics       int64
	Sessions     int64
}

// UserContents counts the documents, topics and sessions of a user.
func (db *DB) UserContents(ctx context.Context, id uuid.UUID) (c UserContents, err error) {
	c.Documents = map[schema.Status]int64{}
	err = db.inTransaction(ctx, func(tx *tx) error {
		if err := sumDocuments(ctx, tx.Tx, id, id, func(s documentSum) {
			c.Documents[s.Status] += s.Documents
			c.ChargedBytes += s.ChargedBytes
		}); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `
			SELECT (SELECT count(*) FROM topics WHERE user_id = $1),
				(SELECT count(*) FROM sessions WHERE user_id = $1)`, id).Scan(&c.Topics, &c.Sessions)
	})
	return c, wrap(ctx, err, "count the contents of user %s", id)
}

// DisableAccount removes a user's password, sessions, identities and administrator role. It is the
// first step of removing a user. Access tokens that were already issued stay valid until the user
// is removed. It fails with ErrLastAdmin.
func (db *DB) DisableAccount(ctx context.Context, id uuid.UUID) error {
	err := db.inTransaction(ctx, func(tx *tx) error {
		if err := tx.requireAnotherAdmin(ctx, id); err != nil {
			return err
		}
		for _, statement := range []string{
			`UPDATE users SET password_hash = NULL, role = 'user' WHERE id = $1`,
			// An identity without a user is one whose user was deleted. It cannot sign in again.
			`UPDATE user_identities SET user_id = NULL WHERE user_id = $1`,
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
	return wrap(ctx, err, "disable the account of user %s", id)
}

// RemoveUser deletes up to limit documents of a user and, if there are no more, the user with the
// quota, topics and sessions. The email address can then be used again. It returns the number of
// deleted documents, and whether the user no longer exists.
//
// It releases the charges of the documents and records an object deletion for each document in any
// status, because even the object of a pending document may still arrive.
func (db *DB) RemoveUser(
	ctx context.Context, id uuid.UUID, limit int,
) (documents int, removed bool, err error) {
	for attempt := 1; ; attempt++ {
		documents, removed, err = db.removeUser(ctx, id, limit)
		if attempt < maxTransactionAttempts && ctx.Err() == nil &&
			hasCode(err, deadlockDetected, serializationFailure) {
			continue
		}
		if err != nil {
			return 0, false, wrap(ctx, err, "remove user %s", id)
		}
		return documents, removed, nil
	}
}

func (db *DB) removeUser(
	ctx context.Context, id uuid.UUID, limit int,
) (documents int, removed bool, err error) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		// A transaction that stores a document locks the user, for the foreign key. With this row locked,
		// no document is added, however many the user creates meanwhile with an access token.
		_, err := tx.ExecContext(ctx, `SELECT FROM users WHERE id = $1 FOR UPDATE`, id)
		if err != nil {
			return err
		}
		documents, err = tx.removeDocuments(ctx, id, limit)
		if removed = documents < limit; err != nil || !removed {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM quotas WHERE user_id = $1`, id); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM users WHERE id = $1`, id)
		return err
	})
	return documents, removed, err
}

// removeDocuments deletes up to limit documents of a user and returns their number.
func (tx *tx) removeDocuments(ctx context.Context, user uuid.UUID, limit int) (n int, err error) {
	// The locks are taken in the same order as in Transition: documents by id, then the quota, then
	// object deletions by key.
	var docs []schema.Document
	if err := tx.SelectContext(ctx, &docs, `
		SELECT `+documentColumns+` FROM documents WHERE user_id = $1
		ORDER BY id LIMIT $2 FOR UPDATE`, user, limit); err != nil || len(docs) == 0 {
		return 0, err
	}
	pointers, ids := make([]*schema.Document, len(docs)), make([]uuid.UUID, len(docs))
	var charged int64
	for i := range docs {
		pointers[i], ids[i] = &docs[i], docs[i].ID
		charged += docs[i].ChargedBytes
	}
	if _, err := tx.ExecContext(ctx, `
		UPDATE quotas SET used_bytes = used_bytes - $2 WHERE user_id = $1`, user, charged); err != nil {
		return 0, err
	}
	if err := tx.requestDeletions(ctx, pointers); err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM documents
		WHERE `+anyOf("id", "$1::uuid[]", len(ids))+` AND `+foreignKeysByIndex, array(ids))
	return len(docs), err
}
