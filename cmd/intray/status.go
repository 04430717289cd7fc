package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"intray/cmd/internal/cli"
	"intray/infra/nats"
	"intray/infra/postgres"
)

type statusCommand struct {
	cli.OperatorFlags
	JSON     bool          `help:"One JSON object."`
	Watch    bool          `help:"Look again and again, until Ctrl-C."`
	Interval time.Duration `default:"2s" help:"The time between two looks of --watch."`
}

// Help says what is looked at and what the exit status means.
func (statusCommand) Help() string {
	return `Shows whether each part answers, what waits for the consumers and for how long, dead letters,
object deletions, what the last reconciliation of bucket and database left to a person, the events that
MinIO has still to tell (beside "intray up"), the replays that have not ended, and what happened in the
last minutes. docs/runbook.md says what to do.

Exit status: 0 all is well, 1 something is wrong (a line says what), 2 wrong usage, 3 a part is
out of reach. With --watch it is that of the last look.

Environment: DATABASE_URL (the owner's), NATS_URL, NATS_PASSWORD (the operator's) and
MINIO_ENDPOINT, unless a stack of "intray up" is meant; API_URL, GATEWAY_URL and CONSUMERS_URL,
the addresses whose /healthz is asked: parts without one are not looked at.`
}

// Run looks once, or until ctx ends.
func (c statusCommand) Run(ctx context.Context) error {
	if c.Interval <= 0 {
		return cli.Usage(errors.New("--interval is more than 0"))
	}
	l, err := c.looker(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	info, err := os.Stdout.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	for {
		// A look that Ctrl-C cuts off says nothing about the system.
		s := l.look(context.WithoutCancel(ctx))
		if c.Watch && terminal && !c.JSON {
			fmt.Print("\x1b[H\x1b[2J")
		}
		if c.JSON {
			err = json.NewEncoder(os.Stdout).Encode(s)
		} else {
			err = s.print(os.Stdout)
		}
		if err != nil {
			return err
		}
		if !c.Watch {
			return s.verdict()
		}
		timer := time.NewTimer(c.Interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return s.verdict()
		case <-timer.C:
		}
	}
}

// statusSettings are where the parts are that have no other setting.
type statusSettings struct {
	API       string `env:"API_URL"`
	Gateway   string `env:"GATEWAY_URL"`
	Consumers string `env:"CONSUMERS_URL"`
	Database  string `env:"DATABASE_URL"`
}

// looker is what a look asks.
type looker struct {
	system cli.System
	db     *postgres.DB
	conn   *nats.Conn // nil: no setting says where NATS is
	health []address
	dir    string // the data folder of up; empty: somewhere else
}

type address struct{ name, url string }

func (c statusCommand) looker(ctx context.Context) (*looker, error) {
	s, err := c.Find()
	if err != nil {
		return nil, err
	}
	settings, err := cli.ReadSettings[statusSettings]()
	if err != nil {
		return nil, err
	}
	l := &looker{system: s, health: []address{{"api", settings.API}, {"gateway", settings.Gateway}, {"consumers", settings.Consumers}}}
	if c.Data != "" || settings.Database == "" {
		if l.dir, err = cli.DataDir(c.Data); err != nil {
			return nil, err
		}
		if l.health, err = localHealth(l.dir); err != nil {
			return nil, err
		}
	}
	if l.db, err = postgres.Open(ctx, s.Database, postgres.Options{MaxConns: 2, StatementTimeout: lookTimeout / 2}); err != nil {
		return nil, err
	}
	if s.NATS.URL != "" {
		s.NATS.Name, s.NATS.Log = "status", slog.New(slog.DiscardHandler)
		if l.conn, err = nats.Connect(ctx, s.NATS); err != nil {
			l.db.Close()
			return nil, err
		}
	}
	return l, nil
}

func (l *looker) close() {
	if l.conn != nil {
		l.conn.Close()
	}
	l.db.Close()
}

// verdict is nil if all is well.
func (s status) verdict() error {
	var away []string
	for _, p := range s.Parts {
		if !p.Up {
			away = append(away, p.Name)
		}
	}
	switch {
	case len(away) > 0:
		return fmt.Errorf("%w: %s", cli.ErrUnreachable, strings.Join(away, ", "))
	case len(s.Problems) > 0:
		return errors.New("something is wrong; docs/runbook.md says what to do")
	}
	return nil
}
