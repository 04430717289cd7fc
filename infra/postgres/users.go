package postgres

import (
	"context"
	"database/sql"
	"errors"

	"github.com/google/uuid"

	"intray/schema"
)

// ErrUserNotFound means that a user does not exist. Its code is schema.CodeNotFound.
var ErrUserNotFound = &schema.Error{Code: schema.CodeNotFound, Detail: "There is no such user."}

// An Account contains what is needed to verify a sign-in.
type Account struct {
	ID uuid.UUID `db:"id"`
	// PasswordHash is empty if the user cannot sign in with a password.
	PasswordHash string      `db:"password_hash"`
	Role         schema.Role `db:"role"`
}

// AccountByEmail returns the account with the email address, in this spelling or ignoring case and
// Unicode normalization form (see schema.FoldCase). It fails with ErrUserNotFound.
func (a *Auth) AccountByEmail(ctx context.Context, email string) (Account, error) {
	var account Account
	err := a.db.pool.GetContext(ctx, &account,
		`SELECT id, password_hash, role FROM account_by_email($1)`, email)
	if errors.Is(err, sql.ErrNoRows) {
		return Account{}, ErrUserNotFound
	}
	return account, wrap(ctx, err, "find an account")
}

// selectUsers is the SELECT statement, without WHERE, whose rows scan into a schema.User with its
// quota. OFFSET 0 makes the planner look each quota up by the index.
const selectUsers = `SELECT u.id, u.email, u.role, u.ai_provider, u.ai_model, u.has_password,
		u.created_at, q.user_id AS "quota.user_id", q.limit_bytes AS "quota.limit_bytes",
		q.used_bytes AS "quota.used_bytes"
	FROM users AS u CROSS JOIN LATERAL (
		SELECT user_id, limit_bytes, used_bytes FROM quotas WHERE user_id = u.id OFFSET 0) AS q `

// Me returns the user that the DB is bound to.
func (db *DB) Me(ctx context.Context) (u schema.User, err error) {
	if err := db.requireUser(); err != nil {
		return schema.User{}, err
	}
	err = db.inTransaction(ctx, func(tx *tx) error {
		return tx.GetContext(ctx, &u, selectUsers+`WHERE u.id = $1`, tx.user)
	})
	return u, wrap(ctx, err, "read user %s", db.user)
}

// A UserPatch contains the new values of a user. Fields that are nil do not change.
type UserPatch struct {
	// LimitBytes may be less than the used bytes. Then no further document fits.
	LimitBytes *int64
	// AIProvider and AIModel are empty to select the system's defaults.
	AIProvider *string
	AIModel    *string
}

// AdminUsers returns up to limit users in the order of their ids, starting after the id, or with
// the first user if it is uuid.Nil. If it returns limit users, there may be more. It fails with
// schema.CodeForbidden unless the DB is bound to an administrator.
func (db *DB) AdminUsers(
	ctx context.Context, after uuid.UUID, limit int,
) (users []schema.User, err error) {
	if err := db.requireUser(); err != nil {
		return nil, err
	}
	err = db.inTransaction(ctx, func(tx *tx) error {
		return tx.SelectContext(ctx, &users, adminColumns+`FROM admin_users($1, $2) ORDER BY id`,
			uuid.NullUUID{UUID: after, Valid: after != uuid.Nil}, limit)
	})
	return users, wrap(ctx, translateForbidden(err), "list users")
}

// AdminUser returns any user. It fails with ErrUserNotFound, and with schema.CodeForbidden unless
// the DB is bound to an administrator.
func (db *DB) AdminUser(ctx context.Context, id uuid.UUID) (user schema.User, err error) {
	if err := db.requireUser(); err != nil {
		return schema.User{}, err
	}
	err = db.inTransaction(ctx, func(tx *tx) error {
		err := tx.GetContext(ctx, &user, adminColumns+`FROM admin_user($1)`, id)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrUserNotFound
		}
		return err
	})
	return user, wrap(ctx, translateForbidden(err), "read user %s", id)
}

// ChangeUser applies the patch to any user and returns the user. It fails with ErrUserNotFound, and
// with schema.CodeForbidden unless the DB is bound to an administrator.
func (db *DB) ChangeUser(
	ctx context.Context, id uuid.UUID, p UserPatch,
) (user schema.User, err error) {
	if err := db.requireUser(); err != nil {
		return schema.User{}, err
	}
	err = db.inTransaction(ctx, func(tx *tx) error {
		err := tx.GetContext(ctx, &user, adminColumns+`FROM admin_change_user($1, $2, $3, $4)`,
			id, p.LimitBytes, p.AIProvider, p.AIModel)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrUserNotFound
		}
		return err
	})
	return user, wrap(ctx, translateForbidden(err), "change user %s", id)
}

// adminColumns selects the columns of the functions admin_users, admin_user and admin_change_user
// that scan into a schema.User.
const adminColumns = `SELECT id, email, role, ai_provider, ai_model, has_password, created_at,
	id AS "quota.user_id", limit_bytes AS "quota.limit_bytes", used_bytes AS "quota.used_bytes" `

// translateForbidden returns a schema.CodeForbidden error if err means that the user is not an
// administrator, and err otherwise.
func translateForbidden(err error) error {
	if hasCode(err, insufficientPrivilege) {
		return schema.Errorf(schema.CodeForbidden, "Only administrators can do this.")
	}
	return err
}

// A NewUser is a user to create.
type NewUser struct {
	ID           uuid.UUID
	Email        string
	PasswordHash string // "" if the user cannot sign in with a password
	Role         schema.Role
	LimitBytes   int64 // schema.DefaultQuota if it is 0
}

// AddUser creates a user with a quota. It fails with schema.CodeNameTaken if another user has the
// email address, ignoring case and Unicode normalization form. It requires the owner's role.
func (db *DB) AddUser(ctx context.Context, u NewUser) error {
	if u.Role == "" {
		u.Role = schema.RoleUser
	}
	if u.LimitBytes == 0 {
		u.LimitBytes = schema.DefaultQuota
	}
	err := db.inTransaction(ctx, func(tx *tx) error {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO users (id, email, password_hash, role) VALUES ($1, $2, nullif($3, ''), $4)`,
			u.ID, u.Email, u.PasswordHash, string(u.Role))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx,
			`INSERT INTO quotas (user_id, limit_bytes) VALUES ($1, $2)`, u.ID, u.LimitBytes)
		return err
	})
	if violates(err, "users_email_ignoring_case") || violates(err, "users_email_key") {
		return schema.Errorf(schema.CodeNameTaken,
			"There is already a user with the address %s.", u.Email)
	}
	return wrap(ctx, err, "add user %s", u.ID)
}

// Users returns all users, ordered by email address. It requires the owner's role.
func (db *DB) Users(ctx context.Context) (users []schema.User, err error) {
	for after := ""; ; {
		var page []schema.User
		// No email address is empty.
		err := db.pool.SelectContext(ctx, &page, selectUsers+`
			WHERE u.email > $1 ORDER BY u.email LIMIT $2`, after, rangeRows)
		if err != nil {
			return nil, wrap(ctx, err, "list users")
		}
		users = append(users, page...)
		if len(page) < rangeRows {
			return users, nil
		}
		after = page[len(page)-1].Email
	}
}
