package postgres

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"
)

// AISettings are the AI provider and model that a user chose. A field is empty if the system's
// default applies.
type AISettings struct {
	Provider string `db:"ai_provider"`
	Model    string `db:"ai_model"`
}

// UserAISettings returns the AI settings of a user. They are empty if the user does not exist.
func (db *DB) UserAISettings(ctx context.Context, user uuid.UUID) (AISettings, error) {
	var s AISettings
	err := db.pool.GetContext(ctx, &s, `SELECT ai_provider, ai_model FROM users WHERE id = $1`, user)
	if errors.Is(err, sql.ErrNoRows) {
		return AISettings{}, nil
	}
	return s, wrap(ctx, err, "read the AI settings of user %s", user)
}

// CountAICall counts one more call for the user on the UTC day of now, and reports whether it is
// among the first limit calls of that day. A call above the limit is not counted. It requires the
// role worker.
func (db *DB) CountAICall(
	ctx context.Context, user uuid.UUID, limit int, now time.Time,
) (bool, error) {
	if limit <= 0 {
		return false, nil
	}
	result, err := db.pool.ExecContext(ctx, `
		INSERT INTO ai_calls AS c (user_id, day, calls) SELECT id, $2::date, 1 FROM users WHERE id = $1
		ON CONFLICT (user_id) DO UPDATE SET day = EXCLUDED.day,
			calls = CASE WHEN c.day = EXCLUDED.day THEN c.calls + 1 ELSE 1 END
		WHERE c.day <> EXCLUDED.day OR c.calls < $3`,
		user, now.UTC().Format(time.DateOnly), limit)
	if err != nil {
		return false, wrap(ctx, err, "count an AI call of user %s", user)
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// AllAISettings returns the AI settings of all users. It requires the role worker or the owner's
// role.
func (db *DB) AllAISettings(ctx context.Context) (all []AISettings, err error) {
	after := uuid.Nil
	for {
		var rows []struct {
			ID uuid.UUID `db:"id"`
			AISettings
		}
		err := db.pool.SelectContext(ctx, &rows, `
			SELECT id, ai_provider, ai_model FROM users WHERE id > $1 ORDER BY id LIMIT $2`,
			after, rangeRows)
		if err != nil {
			return nil, wrap(ctx, err, "read the users' AI settings")
		}
		for _, r := range rows {
			all, after = append(all, r.AISettings), r.ID
		}
		if len(rows) < rangeRows {
			return all, nil
		}
	}
}
