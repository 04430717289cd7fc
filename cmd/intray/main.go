// Command intray is the whole of Intray in one binary: the stack for one
// machine (up), each of its parts as a process of its own (api, consume,
// gateway), what prepares them (migrate, provision) and what operators use
// (users, status, bench). It only wires: it is the one place that reads the environment.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"intray/infra/ai"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
)

// The exit statuses, the same for every command.
const (
	exitClean    = 0
	exitFailed   = 1 // something was found, or failed
	exitUsage    = 2 // the words of the command are off
	exitNoAnswer = 3 // a part of the system is out of reach
)

const description = `Document intake: browsers upload straight to MinIO, its events reach NATS
JetStream, consumers confirm each upload, check its owner's quota and sort the
document into topics.

"intray up" runs everything on this machine. In production each part is a
process of its own, configured through the environment (docs/configuration.md).`

type commands struct {
	Up         upCommand         `cmd:"" help:"Run everything on this machine: PostgreSQL, NATS, MinIO, the gateway, the API and the consumers."`
	API        apiCommand        `cmd:"" name:"api" help:"Serve the HTTP API."`
	Consume    consumeCommand    `cmd:"" help:"Run the consumers: confirm, remove, classify and sweep, or some of them."`
	Gateway    gatewayCommand    `cmd:"" help:"Serve the gateway that stands before MinIO."`
	Migrate    migrateCommand    `cmd:"" help:"Bring the database's schema up, down, or tell its version."`
	Provision  provisionCommand  `cmd:"" help:"Make or update roles, streams, consumers, bucket, notifications and access keys."`
	Users      usersCommand      `cmd:"" help:"Add, list, change and remove accounts."`
	Reconcile  reconcileCommand  `cmd:"" help:"Compare bucket and database, and repair what differs."`
	Events     eventsCommand     `cmd:"" help:"List events, tell a document's story, and have events handled again."`
	Status     statusCommand     `cmd:"" help:"Show on one screen how the system is; exit status 1 if something is wrong."`
	Letters    lettersCommand    `cmd:"" name:"deadletters" help:"List, show, retry or drop the messages that consumers gave up."`
	AI         aiCommand         `cmd:"" name:"ai" help:"Check the AI providers."`
	Bench      benchCommand      `cmd:"" help:"Measure a running stack."`
	NATSServer natsServerCommand `cmd:"" name:"nats-server" hidden:"" help:"Run the NATS server that \"up\" starts."`
	CheckQueue checkQueueCommand `cmd:"" hidden:"" help:"Move damaged files of MinIO's event queue aside; run it before MinIO starts."`
	Health     healthCommand     `cmd:"" name:"healthcheck" hidden:"" help:"Exit 0 if a URL answers 200: for containers without curl."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run parses args, carries the command out and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var cli commands
	exited := -1
	parser, err := kong.New(&cli,
		kong.Name("intray"), kong.Description(description),
		kong.UsageOnError(), kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		fmt.Fprintln(stderr, "intray:", err)
		return exitFailed
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help was answered
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "intray: %v\nTry \"%s --help\".\n", err, meant(err))
		return exitUsage
	}
	err = parsed.Run()
	switch {
	case err == nil:
		return exitClean
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(stderr, "intray: interrupted")
		return exitFailed
	}
	fmt.Fprintln(stderr, "intray:", err)
	var usage usageError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, postgres.ErrUnavailable), errors.Is(err, minio.ErrUnavailable), errors.Is(err, nats.ErrUnavailable),
		errors.Is(err, errNotRunning), errors.Is(err, ai.ErrUnavailable):
		return exitNoAnswer
	default:
		return exitFailed
	}
}

// meant is the command that a parser's error is about, as far as its words were
// understood.
func meant(err error) string {
	var wrong *kong.ParseError
	if !errors.As(err, &wrong) || wrong.Context == nil {
		return "intray"
	}
	words := []string{"intray"}
	for _, step := range wrong.Context.Path {
		if step.Command != nil {
			words = append(words, step.Command.Name)
		}
	}
	return strings.Join(words, " ")
}

// usageError is a mistake of the caller's: a setting that is missing, a value
// out of range.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }
