package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"intray/cmd/internal/cli"
	"intray/infra/postgres"
	"intray/ops/deadletters"
)

type deadLettersListCommand struct {
	cli.OwnerFlags
	letterFilter
	Limit int  `placeholder:"N" help:"Maximum number of dead letters. Default: 50 in the table, no limit with --json."`
	JSON  bool `help:"Print one JSON object per line."`
}

// Help describes dead letters and the exit status.
func (deadLettersListCommand) Help() string { return deadLettersHelp }

// defaultLimit is the limit of the table without --limit.
const defaultLimit = 50

// Run lists dead letters.
func (c deadLettersListCommand) Run(ctx context.Context) error {
	if c.Limit < 0 {
		return cli.Usage(errors.New("--limit must not be negative"))
	}
	f, err := c.filter()
	if err != nil {
		return err
	}
	db, err := c.OpenOwner()
	if err != nil {
		return err
	}
	defer db.Close()
	f.NewestFirst, f.Limit = true, c.Limit
	if c.JSON {
		out := json.NewEncoder(os.Stdout)
		for l, err := range deadletters.List(ctx, db, f) {
			if err == nil {
				err = out.Encode(letterAsJSON(l))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	if f.Limit == 0 {
		f.Limit = defaultLimit
	}
	return printLetters(ctx, db, f)
}

// printLetters prints a table of the dead letters that match the filter, and the number of
// further ones beyond its limit.
func printLetters(ctx context.Context, db *postgres.DB, f postgres.DeadLetterFilter) error {
	n, _, err := db.CountDeadLetters(ctx, f)
	if err != nil {
		return err
	}
	if n == 0 {
		fmt.Println("No dead letters.")
		return nil
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tCONSUMER\tSUBJECT\tATTEMPTS\tDEAD-LETTERED\tREASON")
	for l, err := range deadletters.List(ctx, db, f) {
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%d\t%s\t%s\n", l.ID, l.Consumer, cli.Printable(l.Subject),
			l.Attempts, l.DeadAt.UTC().Format(time.RFC3339), cli.Shorten(l.Reason, 80))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if more := n - int64(f.Limit); more > 0 {
		fmt.Printf("%d more; use --limit to show them\n", more)
	}
	return nil
}
