// Package cli is what the commands of this repository share: how a command line and the
// environment are parsed, the settings that several commands read, how an operator's
// command finds the system that it works on, exit statuses, and the progress bar.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"intray/infra/ai"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
)

// The exit statuses, the same for every command.
const (
	exitClean       = 0
	exitFailed      = 1 // something was found, or failed
	exitUsage       = 2 // the command line or a setting is wrong
	exitUnreachable = 3 // a part of the system does not answer
)

// Main runs the program called name, whose commands are the fields of grammar (see
// kong), until it is done or interrupted, and exits with its status.
func Main(name, description string, grammar any) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, name, description, grammar)
	stop()
	os.Exit(status)
}

// run parses the command line, runs the command and returns the exit status.
func run(ctx context.Context, name, description string, grammar any) int {
	parser, err := New(name, description, grammar)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return exitFailed
	}
	parsed, err := Parse(parser, os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\nTry \"%s --help\".\n", name, err, commandName(parsed))
		return exitUsage
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run()
	switch {
	case err == nil:
		return exitClean
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintf(os.Stderr, "%s: interrupted\n", name)
		return exitFailed
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	return exitStatus(err)
}

// exitStatus returns the status of a command that failed with err.
func exitStatus(err error) int {
	switch {
	case errors.As(err, new(UsageError)):
		return exitUsage
	case errors.Is(err, ErrUnreachable), errors.Is(err, postgres.ErrUnavailable),
		errors.Is(err, minio.ErrUnavailable), errors.Is(err, nats.ErrUnavailable),
		errors.Is(err, ai.ErrUnavailable):
		return exitUnreachable
	default:
		return exitFailed
	}
}

// commandName returns the program and the command that were named, as far as they were
// understood.
func commandName(parsed *kong.Context) string {
	if command := parsed.Selected(); command != nil {
		return command.FullPath()
	}
	return parsed.Model.Name
}

// UsageError is a mistake on the command line or in a setting, with exit status 2.
type UsageError struct{ Err error }

func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the error that it wraps.
func (e UsageError) Unwrap() error { return e.Err }

// ErrUnreachable marks an error that means that a part of the system does not
// answer, with exit status 3.
var ErrUnreachable = errors.New("unreachable")

// Usage returns err as a UsageError.
func Usage(err error) error { return UsageError{Err: err} }
