package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"intray/cmd/internal/cli"
	"intray/infra/local"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/ops/status"
)

type statusCommand struct {
	cli.OperatorFlags
	JSON     bool          `help:"One JSON object."`
	Watch    bool          `help:"Look again and again, until Ctrl-C."`
	Interval time.Duration `default:"2s" help:"The time between two looks of --watch."`

	healthSettings `group:"System, unless --data names it:"`
}

// healthSettings are the addresses whose /healthz is asked; a part without one is not.
type healthSettings struct {
	APIURL       string `name:"api-url" env:"API_URL" placeholder:"URL" help:"The API, whose /healthz is asked."`
	GatewayURL   string `env:"GATEWAY_URL" placeholder:"URL" help:"The gateway, whose /healthz is asked."`
	ConsumersURL string `env:"CONSUMERS_URL" placeholder:"URL" help:"The consumers, whose /healthz is asked."`
}

// Help describes what is checked and what the exit status means.
func (statusCommand) Help() string {
	return `Shows whether each part answers, what waits for the consumers and for how long, dead letters,
object deletions, what the last reconciliation of bucket and database left to a person, the events that
MinIO has still to tell (beside "intray up"), the replays that have not ended, and what happened in the
last minutes. docs/runbook.md says what to do.

Exit status: 0 all is well, 1 something is wrong (a line says what), 2 wrong usage, 3 a part is
out of reach. With --watch it is that of the last look.`
}

// Run checks once, or until ctx ends.
func (c statusCommand) Run(ctx context.Context) error {
	if c.Interval <= 0 {
		return cli.Usage(errors.New("--interval is more than 0"))
	}
	return c.withChecker(ctx, func(checker status.Checker) error {
		for {
			// A check that Ctrl-C cuts off would say nothing about the system.
			s := checker.Check(context.WithoutCancel(ctx))
			if err := c.show(os.Stdout, s); err != nil {
				return err
			}
			if !c.Watch || !wait(ctx, c.Interval) {
				return statusError(s)
			}
		}
	})
}

// wait waits for d, and reports false if ctx ends before.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// show prints one status, with --watch in the place of the last one.
func (c statusCommand) show(out *os.File, s status.Status) error {
	if c.JSON {
		return json.NewEncoder(out).Encode(s)
	}
	if c.Watch && term.IsTerminal(int(out.Fd())) {
		fmt.Fprint(out, "\x1b[H\x1b[2J")
	}
	return printStatus(out, s)
}

// statusError returns nil if all is well.
func statusError(s status.Status) error {
	if away := s.Unreachable(); len(away) > 0 {
		return fmt.Errorf("%w: %s", cli.ErrUnreachable, strings.Join(away, ", "))
	}
	if !s.Healthy {
		return errors.New("something is wrong; docs/runbook.md says what to do")
	}
	return nil
}

// withChecker connects to the parts that a check asks and calls do.
func (c statusCommand) withChecker(ctx context.Context, do func(status.Checker) error) error {
	system, err := c.Find()
	if err != nil {
		return err
	}
	checker := status.Checker{MinIO: system.MinIO}
	servers := c.healthSettings
	if c.Local() {
		if checker.DataDir, err = cli.DataDir(c.Data); err != nil {
			return err
		}
		if servers, err = localServers(checker.DataDir); err != nil {
			return err
		}
	}
	checker.Servers = servers.probes()
	options := postgres.Options{MaxConns: 2, StatementTimeout: status.Timeout / 2}
	if checker.DB, err = postgres.Open(ctx, system.Database, options); err != nil {
		return err
	}
	defer checker.DB.Close()
	if system.NATS.URL != "" {
		system.NATS.Name, system.NATS.Log = "status", slog.New(slog.DiscardHandler)
		if checker.Conn, err = nats.Connect(ctx, system.NATS); err != nil {
			return err
		}
		defer checker.Conn.Close()
	}
	return do(checker)
}

// localServers returns the addresses of the servers that "intray up" runs on a data
// folder.
func localServers(dir string) (s healthSettings, err error) {
	stack, err := local.ReadStack(dir)
	if err != nil {
		return s, err
	}
	port, err := local.ReadPort(dir, metricsPort("consume"))
	if err != nil {
		return s, err
	}
	s.APIURL, s.GatewayURL = stack.API, stack.Gateway
	s.ConsumersURL = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return s, nil
}

// probes returns how each server whose address is set is asked for its health.
func (s healthSettings) probes() (all []status.Probe) {
	for _, server := range []struct{ name, url string }{
		{"api", s.APIURL}, {"gateway", s.GatewayURL}, {"consumers", s.ConsumersURL},
	} {
		if server.url != "" {
			all = append(all, status.Probe{Name: server.name, Check: func(ctx context.Context) error {
				return cli.Healthy(ctx, server.url+"/healthz")
			}})
		}
	}
	return all
}
