package postgres

import (
	"context"
	"fmt"

	"intray/schema/migrations"
)

// An OldSchemaError says that the database lacks migrations that the program needs.
type OutdatedSchemaError struct{ Version, Required int64 }

// Error says what to do.
func (e *OutdatedSchemaError) Error() string {
	return fmt.Sprintf(`the database's schema is at version %d and this program needs version %d: run "intray migrate up"`, e.Version, e.Required)
}

// CheckSchema fails with an *OldSchemaError if the database is older than the program, and with ErrUnavailable. A newer one is
// fine: older programs go on while newer ones are brought in.
func (db *DB) CheckSchema(ctx context.Context) error {
	var version int64
	err := db.pool.GetContext(ctx, &version, `SELECT coalesce(max(version), 0) FROM applied_migrations`)
	if err != nil && !hasCode(err, undefinedTable) {
		return wrap(ctx, err, "read the schema's version")
	}
	if needed := migrations.Newest(); version < needed {
		return &OutdatedSchemaError{Version: version, Required: needed}
	}
	return nil
}
