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
	cli.OwnerFlags
	User    string `arg:"" help:"An e-mail address or an id."`
	Execute bool   `help:"Do it. Without it the command says what would go and changes nothing."`
	JSON    bool   `help:"One JSON object instead of sentences."`
}

// Help says what goes, and in which order.
func (usersRemoveCommand) Help() string {
	return `Removes a user for good, with all documents, topics and sessions. First nobody can sign in as
the user any more, then the documents go, then the account; its address is free afterwards. The
files are deleted by the object deletions that the consumers carry out ("intray status" counts
those that wait). Cut off, run it again: it goes on. The last administrator cannot be removed.

` + userHelp
}

// Run says what would go, or removes it.
func (c usersRemoveCommand) Run(ctx context.Context) error {
	db, err := c.OpenOwner(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	user, err := findUser(ctx, db, c.User)
	if err != nil {
		return err
	}
	had, err := db.UserContents(ctx, user.ID)
	if err != nil {
		return err
	}
	if c.Execute {
		bar := cli.NewProgressBar("documents removed", total(had))
		err := accounts.Remove(ctx, db, user, func(done int64) { bar.Set(done, "") })
		bar.Clear()
		if err != nil {
			return err
		}
	}
	return c.print(os.Stdout, user, had)
}

func total(b postgres.UserContents) (n int64) {
	for _, of := range b.Documents {
		n += of
	}
	return n
}

// print says what went, or would go.
func (c usersRemoveCommand) print(w io.Writer, user schema.User, had postgres.UserContents) error {
	if c.JSON {
		return json.NewEncoder(w).Encode(map[string]any{
			"id": user.ID, "email": user.Email, "removed": c.Execute, "documents": had.Documents,
			"charged_bytes": had.ChargedBytes, "topics": had.Topics, "sessions": had.Sessions,
		})
	}
	kinds := make([]string, 0, len(had.Documents))
	for _, status := range slices.Sorted(maps.Keys(had.Documents)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", had.Documents[status], status))
	}
	documents := fmt.Sprintf("%d documents", total(had))
	if len(kinds) > 0 {
		documents += " (" + strings.Join(kinds, ", ") + ")"
	}
	what := fmt.Sprintf("%s, %s: %s, %d bytes, %d topics of their own, %d sessions",
		cli.Printable(user.Email), user.ID, documents, had.ChargedBytes, had.Topics, had.Sessions)
	if !c.Execute {
		_, err := fmt.Fprintf(w, "would remove %s\nNothing was changed; --execute does it.\n", what)
		return err
	}
	_, err := fmt.Fprintf(w, "removed %s\n"+
		"The files are deleted by the consumers; \"intray status\" shows how many wait.\n", what)
	return err
}
