package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"intray/cmd/internal/cli"
	"intray/infra/postgres"
	"intray/ops/accounts"
	"intray/schema"
)

type usersRemoveCommand struct {
	cli.HintFlags
	cli.AuditFlags
	User    string `arg:"" help:"Email address or id of the user."`
	Execute bool   `help:"Remove the user. Without this flag the command only shows what it would remove."`
	JSON    bool   `help:"Print one JSON object."`
}

// Help describes what is removed, and in which order.
func (usersRemoveCommand) Help() string {
	return `Removes a user permanently, with all documents, topics and sessions. The command first
prevents the user from signing in, then removes the documents, and the account last; afterwards
the email address can be used again. The consumers delete the files later; "intray status" shows
how many deletions are pending. If the command is interrupted, run it again to continue. The last
administrator cannot be removed.

` + userHelp
}

// Run shows what would be removed, or with --execute removes the user.
func (c usersRemoveCommand) Run(ctx context.Context) error {
	db, err := c.OpenOwnerFor(c.AuditFlags)
	if err != nil {
		return err
	}
	defer db.Close()
	user, err := findUser(ctx, db, c.User)
	if err != nil {
		return err
	}
	contents, err := db.UserContents(ctx, user.ID)
	if err != nil {
		return err
	}
	if c.Execute {
		bar := cli.NewProgressBar("documents removed", documentCount(contents))
		err := accounts.Remove(ctx, db, user, func(done int64) { bar.Set(done, "") })
		bar.Clear()
		if err != nil {
			return err
		}
		defer c.PublishHint(ctx, schema.HintRemoved, user.ID)
	}
	return c.print(os.Stdout, user, contents)
}

func documentCount(c postgres.UserContents) (n int64) {
	for _, count := range c.Documents {
		n += count
	}
	return n
}

// print writes what was removed, or what would be removed.
func (c usersRemoveCommand) print(
	w io.Writer, user schema.User, contents postgres.UserContents,
) error {
	if c.JSON {
		return json.NewEncoder(w).Encode(map[string]any{
			"id": user.ID, "email": user.Email, "removed": c.Execute,
			"documents": contents.Documents, "charged_bytes": contents.ChargedBytes,
			"topics": contents.Topics, "sessions": contents.Sessions,
		})
	}
	byStatus := make([]string, 0, len(contents.Documents))
	for _, status := range slices.Sorted(maps.Keys(contents.Documents)) {
		byStatus = append(byStatus, fmt.Sprintf("%d %s", contents.Documents[status], status))
	}
	documents := fmt.Sprintf("%d documents", documentCount(contents))
	if len(byStatus) > 0 {
		documents += " (" + strings.Join(byStatus, ", ") + ")"
	}
	what := fmt.Sprintf("user %s (%s): %s, %d bytes, %d topics, %d sessions",
		cli.Printable(user.Email), user.ID, documents, contents.ChargedBytes, contents.Topics,
		contents.Sessions)
	if !c.Execute {
		_, err := fmt.Fprintf(w, "Would remove %s.\n"+
			"Nothing was changed. Add --execute to remove the user.\n", what)
		return err
	}
	_, err := fmt.Fprintf(w, "Removed %s.\nThe consumers delete the files; "+
		"\"intray status\" shows how many deletions are pending.\n", what)
	return err
}
