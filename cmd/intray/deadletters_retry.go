package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"intray/cmd/internal/cli"
	"intray/infra/postgres"
	"intray/ops/deadletters"
)

type deadLettersRetryCommand struct {
	cli.OperatorFlags
	letterChoice
	Rate   float64 `default:"100" help:"At most so many a second; 0: as fast as it goes."`
	DryRun bool    `help:"Say which, and change nothing."`
}

// Help says what retrying means and what the exit status means.
func (deadLettersRetryCommand) Help() string {
	return "The message is published again to its subject; what fails again becomes a new dead letter." +
		"\n\n" + deadLettersHelp
}

// Run retries those that are there now, the oldest first.
func (c deadLettersRetryCommand) Run(ctx context.Context) error {
	if c.Rate < 0 {
		return cli.Usage(errors.New("--rate is not negative"))
	}
	f, err := c.choice()
	if err != nil {
		return err
	}
	s, err := c.Find()
	if err != nil {
		return err
	}
	db, err := postgres.Open(ctx, s.Database, postgres.Options{MaxConns: 2})
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

// retry retries the dead letters, with its progress.
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
