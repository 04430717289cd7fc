package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"intray/cmd/internal/cli"
	"intray/infra/postgres"
	"intray/ops/deadletters"
	"intray/schema"
)

type deadLettersRetryCommand struct {
	cli.OperatorFlags
	letterSelection
	letterAudit
	Rate   float64 `default:"100" help:"Maximum number of retries per second; 0 means no limit."`
	DryRun bool    `help:"Only print which dead letters would be retried."`
}

// Help describes retries, dead letters and the exit status.
func (deadLettersRetryCommand) Help() string {
	return `Publishes the messages of the selected dead letters again, oldest first, to their
original subjects. A message that fails again becomes a new dead letter.

` + deadLettersHelp
}

// Run retries the selected dead letters, oldest first.
func (c deadLettersRetryCommand) Run(ctx context.Context) error {
	if c.Rate < 0 {
		return cli.Usage(errors.New("--rate must not be negative"))
	}
	f, err := c.selection()
	if err != nil {
		return err
	}
	s, err := c.Find()
	if err != nil {
		return err
	}
	db, err := postgres.Open(s.Database, c.flags().Options(postgres.Options{MaxConns: 2}))
	if err != nil {
		return err
	}
	defer db.Close()
	letters, err := deadletters.Select(ctx, db, f)
	if err != nil {
		return err
	}
	switch {
	case letters.Count == 0:
		fmt.Println("No dead letters to retry.")
	case c.DryRun:
		err = printRetries(ctx, letters)
	default:
		conn, connErr := connectNATS(ctx, s, "deadletters")
		if connErr != nil {
			return connErr
		}
		defer conn.Close()
		err = db.RecordOperation(ctx, schema.AuditDeadLettersRetried, c.details(letters.Count))
		if err != nil {
			return err
		}
		err = c.retry(ctx, deadletters.New(db, conn), letters)
	}
	return errors.Join(err, letters.Missing(letters.Count))
}

// printRetries prints which dead letters would be retried.
func printRetries(ctx context.Context, letters deadletters.Selection) error {
	for l, err := range letters.List(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("would retry %d: %s, %s\n", l.ID, l.Consumer, cli.Printable(l.Subject))
	}
	return nil
}

// retry retries the dead letters and shows the progress.
func (c deadLettersRetryCommand) retry(
	ctx context.Context, retrier *deadletters.Retrier, letters deadletters.Selection,
) error {
	bar := cli.NewProgressBar("dead letters retried", letters.Count)
	retried, refused, err := retrier.RetryAll(ctx, letters, deadletters.RetryOptions{
		Rate:     c.Rate,
		Progress: func(retried int64) { bar.Set(retried, "") },
		Refused:  func(err error) { fmt.Fprintln(os.Stderr, cli.Printable(err.Error())) },
	})
	bar.Clear()
	fmt.Printf("%d dead letters retried\n", retried)
	if err == nil && refused > 0 {
		err = fmt.Errorf("%d dead letters could not be retried", refused)
	}
	return err
}
