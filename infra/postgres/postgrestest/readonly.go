package postgrestest

import (
	"context"
	"database/sql"
	"fmt"
)

// SetReadOnly sets or resets default_transaction_read_only of a database, for sessions that begin
// later. The URL must have the owner's role.
func SetReadOnly(ctx context.Context, ownerURL string, readOnly bool) error {
	db, err := sql.Open("postgres", ownerURL)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	change := "RESET default_transaction_read_only"
	if readOnly {
		change = "SET default_transaction_read_only = on"
	}
	_, err = db.ExecContext(ctx, `BEGIN READ WRITE; DO $$ BEGIN
		EXECUTE format('ALTER DATABASE %I `+change+`', current_database()); END $$; COMMIT`)
	if err != nil {
		return fmt.Errorf("change default_transaction_read_only: %w", err)
	}
	return nil
}
