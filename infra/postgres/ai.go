package postgres

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"intray/schema"
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

// providersForgottenAfter is how long before the latest note of any provider a provider was last
// noted if no consumer has it any more. Consumers note their providers every minute. The latest
// note counts, not the present time: while no consumer runs, what the last ones had remains.
const providersForgottenAfter = 10 * time.Minute

// NoteAIProviders records that a consumer has the AI providers configured. It writes nothing about
// a provider that was noted within the last half minute. It requires the role worker.
func (db *DB) NoteAIProviders(ctx context.Context, providers []string) error {
	_, err := db.pool.ExecContext(ctx, `
		INSERT INTO ai_providers AS p (provider) SELECT * FROM unnest($1::text[]) AS n ORDER BY n
		ON CONFLICT (provider) DO UPDATE SET noted_at = now()
		WHERE p.noted_at < now() - interval '30 seconds'`, array(providers))
	return wrap(ctx, err, "note the AI providers")
}

// AIProviders returns the AI providers that the consumers have configured, in alphabetical order,
// or none if no consumer has ever noted one.
func (db *DB) AIProviders(ctx context.Context) (providers []string, err error) {
	err = db.pool.SelectContext(ctx, &providers, `
		SELECT provider FROM ai_providers
		WHERE noted_at > (SELECT max(noted_at) FROM ai_providers) - make_interval(secs => $1)
		ORDER BY provider`, providersForgottenAfter.Seconds())
	return providers, wrap(ctx, err, "read the AI providers")
}

// CheckAIProvider fails with schema.CodeInvalid if no consumer has the AI provider configured. It
// accepts "", which selects the default, builtin, which all consumers have, and every provider if
// no consumer has noted its providers yet.
func (db *DB) CheckAIProvider(ctx context.Context, provider string) error {
	if provider == "" || provider == schema.AIProviderBuiltin {
		return nil
	}
	configured, err := db.AIProviders(ctx)
	if err != nil || len(configured) == 0 || slices.Contains(configured, provider) {
		return err
	}
	return schema.Errorf(schema.CodeInvalid,
		"The AI provider %q is not configured. Choose one of %s, or ask the operator.",
		provider, strings.Join(configured, ", "))
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
