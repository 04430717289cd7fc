package main

import (
	"context"
	"os"

	"intray/cmd/internal/cli"
)

type usersListCommand struct {
	cli.OwnerFlags
	JSON bool `help:"One JSON object a line."`
}

// Run lists them by address.
func (c usersListCommand) Run(ctx context.Context) error {
	db, err := c.OpenOwner(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	users, err := db.Users(ctx)
	if err != nil {
		return err
	}
	accounts := make([]account, len(users))
	for i, u := range users {
		accounts[i] = accountOf(u)
	}
	return writeAccounts(os.Stdout, accounts, c.JSON)
}
