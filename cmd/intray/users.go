package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/google/uuid"

	"intray/cmd/internal/cli"
	"intray/infra/postgres"
	"intray/schema"
)

type usersCommand struct {
	Add    usersAddCommand    `cmd:"" help:"Add an account."`
	List   usersListCommand   `cmd:"" help:"List the accounts with their quotas."`
	Set    usersSetCommand    `cmd:"" help:"Change the quota, role, password or AI settings of an account."`
	Remove usersRemoveCommand `cmd:"" help:"Remove an account and all its documents."`
}

const userHelp = `USER is an email address, ignoring case, or an id as "intray users list" shows
it.

Exit status: 0 success, 1 a failure or unknown user, 2 wrong usage, 3 the database is unreachable.`

// account is the JSON form of an account.
type account struct {
	ID         uuid.UUID   `json:"id"`
	Email      string      `json:"email"`
	Role       schema.Role `json:"role"`
	LimitBytes int64       `json:"limit_bytes"`
	UsedBytes  int64       `json:"used_bytes"`
	// AIProvider and AIModel are empty if the defaults apply.
	AIProvider string `json:"ai_provider"`
	AIModel    string `json:"ai_model"`
	// Password is set only if the command has generated it.
	Password string `json:"password,omitempty"`
}

func accountOf(u schema.User) account {
	return account{
		ID: u.ID, Email: u.Email, Role: u.Role,
		LimitBytes: u.Quota.LimitBytes, UsedBytes: u.Quota.UsedBytes,
		AIProvider: u.AIProvider, AIModel: u.AIModel,
	}
}

// writeAccounts writes the accounts as one JSON object per line, or as a table followed by the
// generated passwords.
func writeAccounts(w io.Writer, accounts []account, asJSON bool) error {
	if asJSON {
		out := json.NewEncoder(w)
		for _, a := range accounts {
			if err := out.Encode(a); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "EMAIL\tROLE\tUSED BYTES\tLIMIT BYTES\tAI\tID")
	for _, a := range accounts {
		ai := strings.TrimSpace(a.AIProvider + " " + a.AIModel)
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\t%s\n", cli.Printable(a.Email), a.Role,
			a.UsedBytes, a.LimitBytes, cmp.Or(cli.Printable(ai), "default"), a.ID)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, a := range accounts {
		if a.Password != "" {
			fmt.Fprintln(w, a.Password)
		}
	}
	return nil
}

// findUser returns the user with an email address or an id.
func findUser(ctx context.Context, db *postgres.DB, addressOrID string) (schema.User, error) {
	user, err := db.FindUser(ctx, addressOrID)
	if errors.Is(err, postgres.ErrUserNotFound) {
		return user, fmt.Errorf("there is no user %s; \"intray users list\" shows all users",
			cli.Printable(addressOrID))
	}
	return user, err
}
