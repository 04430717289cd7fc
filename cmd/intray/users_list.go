package main

import (
	"context"
	"os"

	"intray/cmd/internal/cli"
)

type usersListCommand struct {
	cli.OwnerFlags
	JSON bool `help:"Print one JSON object per line."`
}

// Run lists the accounts, ordered by address.
func (c usersListCommand) Run(ctx context.Context) error {
	db, err := c.OpenOwner()
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
