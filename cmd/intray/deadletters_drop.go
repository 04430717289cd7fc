package main

import (
	"context"
	"fmt"

	"intray/cmd/internal/cli"
	"intray/ops/deadletters"
	"intray/schema"
)

type deadLettersDropCommand struct {
	cli.OwnerFlags
	letterSelection
	letterAudit
	Yes bool `help:"Confirm that more than one dead letter may be deleted."`
}

// Help describes dead letters and the exit status.
func (deadLettersDropCommand) Help() string { return deadLettersHelp }

// Run deletes the selected dead letters.
func (c deadLettersDropCommand) Run(ctx context.Context) error {
	f, err := c.selection()
	if err != nil {
		return err
	}
	db, err := c.OpenOwnerFor(c.flags())
	if err != nil {
		return err
	}
	defer db.Close()
	letters, err := deadletters.Select(ctx, db, f)
	if err != nil {
		return err
	}
	if letters.Count > 1 && !c.Yes {
		return cli.Usage(fmt.Errorf("this would permanently delete %d dead letters;"+
			" add --yes to confirm", letters.Count))
	}
	if letters.Count > 0 {
		err := db.RecordOperation(ctx, schema.AuditDeadLettersDropped, c.details(letters.Count))
		if err != nil {
			return err
		}
	}
	n, err := letters.Drop(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%d dead letters dropped\n", n)
	return letters.Missing(n)
}
