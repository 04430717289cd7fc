// Package accounts carries out what operators do with accounts and takes several steps.
package accounts

import (
	"context"
	"fmt"

	"intray/infra/postgres"
	"intray/schema"
)

// batch is how many documents are removed in one transaction.
const batch = 1000

// Remove removes a user with all documents, topics and sessions: first nobody can sign
// in as the user any more, then the documents go, then the account. Their objects are
// deleted by the object deletions that this leaves to the consumers. After an error it
// may be called again and goes on where it stopped.
//
// progress is called with the number of documents removed so far.
func Remove(ctx context.Context, db *postgres.DB, user schema.User, progress func(int64)) error {
	if err := db.DisableAccount(ctx, user.ID); err != nil {
		return err
	}
	var done int64
	for {
		n, err := db.RemoveUserDocuments(ctx, user.ID, batch)
		if err != nil {
			return fmt.Errorf("%w (%d documents are removed; run the command again to go on)", err, done)
		}
		done += int64(n)
		progress(done)
		if n == batch {
			continue
		}
		// With a valid access token the user may store documents until this succeeds.
		if removed, err := db.RemoveUser(ctx, user.ID); err != nil || removed {
			return err
		}
	}
}
