package postgres

import (
	"context"
	"fmt"

	"intray/schema/migrations"
)

// An OutdatedSchemaError means that the database lacks migrations that the program requires.
type OutdatedSchemaError struct{ Version, Required int64 }

// Error returns the versions and the command that migrates the database.
func (e *OutdatedSchemaError) Error() string {
	return fmt.Sprintf("the database's schema is at version %d and this program needs version %d: "+
		`run "intray migrate up"`, e.Version, e.Required)
}

// CheckSchema fails with an *OutdatedSchemaError if the database's schema is older than the program
// requires, and with ErrUnavailable. A newer schema is accepted, so that older programs keep
// working during an upgrade.
func (db *DB) CheckSchema(ctx context.Context) error {
	var version int64
	err := db.pool.GetContext(ctx, &version,
		`SELECT coalesce(max(version), 0) FROM applied_migrations`)
	if err != nil && !hasCode(err, undefinedTable) {
		return wrap(ctx, err, "read the schema's version")
	}
	if needed := migrations.Newest(); version < needed {
		return &OutdatedSchemaError{Version: version, Required: needed}
	}
	return nil
}
