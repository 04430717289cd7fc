package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"intray/cmd/internal/cli"
	"intray/consumers/runner"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/ops/deadletters"
)

type deadLettersRetryCommand struct {
	cli.OperatorFlags
	letterChoice
	Rate   float64 `default:"100" help:"At most so many a second; 0: as fast as it goes."`
	DryRun bool    `help:"Say which, and change nothing."`
}

// Help says what retrying means and what is read from the environment.
func (deadLettersRetryCommand) Help() string {
	return "The message is published again to its subject; what fails again becomes a new dead letter.\n\n" + deadLettersHelp
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
	n, err := now(ctx, db, &f)
	if err != nil {
		return err
	}
	if n == 0 {
		fmt.Println("No dead letters to retry.")
		return c.missing(n)
	}
	if c.DryRun {
		err := eachLetter(ctx, db, f, func(l postgres.DeadLetter) error {
			fmt.Printf("would retry %d: %s, %s\n", l.ID, l.Consumer, cli.Printable(l.Subject))
			return nil
		})
		return errors.Join(err, c.missing(n))
	}
	if s.NATS.URL == "" {
		return cli.Usage(errors.New("NATS_URL is not set (see docs/configuration.md)"))
	}
	s.NATS.Name, s.NATS.Log = "deadletters", slog.New(slog.DiscardHandler)
	conn, err := nats.Connect(ctx, s.NATS)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Ping(ctx); err != nil {
		return err
	}
	return errors.Join(c.retry(ctx, db, deadletters.New(db, conn), f, n), c.missing(n))
}

// retry goes on past what the stream refuses, and stops where nobody answers.
func (c deadLettersRetryCommand) retry(ctx context.Context, db *postgres.DB, retrier *deadletters.Retrier, f postgres.DeadLetterFilter, n int64) error {
	bar := cli.NewProgressBar("dead letters retried", n)
	defer bar.Clear()
	began := time.Now()
	var done, failed int64
	err := eachLetter(ctx, db, f, func(l postgres.DeadLetter) error {
		if c.Rate > 0 {
			due := began.Add(time.Duration(float64(done+failed) / c.Rate * float64(time.Second)))
			if err := until(ctx, due); err != nil {
				return err
			}
		}
		err := retrier.Retry(ctx, l)
		switch {
		case err == nil:
			done++
		case runner.Outage(err):
			return err
		default:
			failed++
			fmt.Fprintln(os.Stderr, cli.Printable(err.Error()))
		}
		bar.Set(done, "")
		return nil
	})
	bar.Clear()
	fmt.Printf("%d dead letters retried\n", done)
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d dead letters could not be retried", failed)
	}
	return err
}

func until(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

type deadLettersDropCommand struct {
	cli.OperatorFlags
	letterChoice
	Yes bool `help:"Drop more than one."`
}

// Help says what a dead letter is and what is read from the environment.
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
	n, err := now(ctx, db, &f)
	if err != nil {
		return err
	}
	if n > 1 && !c.Yes {
		return cli.Usage(fmt.Errorf("this would drop %d dead letters, which nothing brings back; say --yes if that is meant", n))
	}
	if n > 0 {
		if n, err = db.DropDeadLetters(ctx, f); err != nil {
			return err
		}
	}
	fmt.Printf("%d dead letters dropped\n", n)
	return c.missing(n)
}
