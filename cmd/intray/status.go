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
	JSON     bool          `help:"Print one JSON object."`
	Watch    bool          `help:"Repeat the check until interrupted."`
	Interval time.Duration `default:"2s" help:"Time between two checks with --watch."`

	healthSettings `group:"System (instead of --data):"`
}

// healthSettings are the URLs of the servers whose /healthz is requested. A server without a URL
// is not checked.
type healthSettings struct {
	APIURL       string `name:"api-url" env:"API_URL" placeholder:"URL" help:"URL of the API, to check its /healthz."`
	GatewayURL   string `env:"GATEWAY_URL" placeholder:"URL" help:"URL of the gateway, to check its /healthz."`
	ConsumersURL string `env:"CONSUMERS_URL" placeholder:"URL" help:"URL of the consumers, to check their /healthz."`
}

// Help describes the checks and the exit status.
func (statusCommand) Help() string {
	return `Shows whether each component is up, the backlog of each consumer and of the database with
the age of its oldest entry, dead letters, object deletions, the differences that the last
reconciliation did not repair, the replays that have not ended, and how many documents were
processed in the last minutes. For a stack of "intray up" it also shows the events that MinIO has
not sent yet. docs/runbook.md explains what to do about each problem.

Exit status: 0 healthy, 1 there are problems (each is printed), 2 wrong usage, 3 a component is
unreachable. With --watch it is the status of the last check.`
}

// Run checks the system once, or with --watch until ctx is canceled.
func (c statusCommand) Run(ctx context.Context) error {
	if c.Interval <= 0 {
		return cli.Usage(errors.New("--interval must be greater than 0"))
	}
	return c.withChecker(ctx, func(checker status.Checker) error {
		for {
			// An interrupted check would report components that are up as down, so a check
			// always runs to its end.
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

// wait waits for d. It returns false if ctx is canceled first.
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

// show prints one status. With --watch on a terminal it replaces the previous one.
func (c statusCommand) show(out *os.File, s status.Status) error {
	if c.JSON {
		return json.NewEncoder(out).Encode(s)
	}
	if c.Watch && term.IsTerminal(int(out.Fd())) {
		fmt.Fprint(out, "\x1b[H\x1b[2J")
	}
	return printStatus(out, s)
}

// statusError returns an error unless the system is healthy.
func statusError(s status.Status) error {
	if down := s.Down(); len(down) > 0 {
		return fmt.Errorf("%w: %s", cli.ErrUnreachable, strings.Join(down, ", "))
	}
	if !s.Healthy {
		return fmt.Errorf("problems found: %d; see docs/runbook.md", len(s.Problems))
	}
	return nil
}

// withChecker connects to the components and calls do with a Checker for them.
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
	if checker.DB, err = postgres.Open(system.Database, options); err != nil {
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

// localServers returns the URLs of the servers of the stack with the data folder dir.
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

// probes returns a health check for each server whose URL is set.
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
