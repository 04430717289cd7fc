package main

import (
	"context"
	"fmt"

	"intray/cmd/internal/cli"
	"intray/ops/deadletters"
)

type deadLettersDropCommand struct {
	cli.OwnerFlags
	letterChoice
	Yes bool `help:"Drop more than one."`
}

// Help says what a dead letter is and what the exit status means.
func (deadLettersDropCommand) Help() string { return deadLettersHelp }

// Run drops those that are there now.
func (c deadLettersDropCommand) Run(ctx context.Context) error {
	f, err := c.choice()
	if err != nil {
		return err
	}
	db, err := c.OpenOwner(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	letters, err := deadletters.Select(ctx, db, f)
	if err != nil {
		return err
	}
	if letters.Count > 1 && !c.Yes {
		return cli.Usage(fmt.Errorf("this would drop %d dead letters, which nothing brings back;"+
			" say --yes if that is meant", letters.Count))
	}
	n, err := letters.Drop(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%d dead letters dropped\n", n)
	return letters.Missing(n)
}
