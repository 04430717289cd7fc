// Package accounts implements operations on accounts that require several transactions.
package accounts

import (
	"context"
	"fmt"

	"intray/infra/postgres"
	"intray/schema"
)

// batch is how many documents are removed in one transaction.
const batch = 1000

// Remove removes a user and all of the user's documents, topics and sessions. It first prevents the
// user from signing in, then removes the documents in batches, and finally the account. The
// documents' objects are recorded as object deletions, which the sweeper carries out later. After
// an error, Remove can be called again to continue where it stopped.
//
// Remove calls progress after each batch with the number of documents removed so far.
func Remove(ctx context.Context, db *postgres.DB, user schema.User, progress func(int64)) error {
	if err := db.DisableAccount(ctx, user.ID); err != nil {
		return err
	}
	var done int64
	for {
		n, removed, err := db.RemoveUser(ctx, user.ID, batch)
		if err != nil {
			return fmt.Errorf("%w (%d documents were removed; run the command again to continue)",
				err, done)
		}
		done += int64(n)
		progress(done)
		if removed {
			return nil
		}
	}
}
