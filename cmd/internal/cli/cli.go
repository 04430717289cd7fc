// Package cli implements what the commands of this repository share: parsing of the command line
// and the environment, settings that several commands read, discovery of the system that an
// operator's command works on, exit statuses, and the progress bar.
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

// The exit statuses of all commands.
const (
	exitSuccess     = 0
	exitFailed      = 1 // the command failed, or found a problem
	exitUsage       = 2 // the command line or a setting is invalid
	exitUnreachable = 3 // a component of the system cannot be reached
)

// Main runs the program with the name until it ends or is interrupted, and exits with its status.
// The fields of grammar are its commands, as package kong describes.
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
		return exitSuccess
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintf(os.Stderr, "%s: interrupted\n", name)
		return exitFailed
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	return exitStatus(err)
}

// exitStatus returns the exit status of a command that failed with err.
func exitStatus(err error) int {
	switch {
	case errors.As(err, new(UsageError)), errors.Is(err, postgres.ErrTransactionPooling):
		return exitUsage
	case errors.Is(err, ErrUnreachable), errors.Is(err, postgres.ErrUnavailable),
		errors.Is(err, minio.ErrUnavailable), errors.Is(err, nats.ErrUnavailable),
		errors.Is(err, ai.ErrUnavailable):
		return exitUnreachable
	default:
		return exitFailed
	}
}

// commandName returns the program and the command, as far as the command line was parsed.
func commandName(parsed *kong.Context) string {
	if command := parsed.Selected(); command != nil {
		return command.FullPath()
	}
	return parsed.Model.Name
}

// UsageError is an error in the command line or in a setting. Its exit status is 2.
type UsageError struct{ Err error }

func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e UsageError) Unwrap() error { return e.Err }

// ErrUnreachable means that a component of the system cannot be reached. Its exit status is 3.
var ErrUnreachable = errors.New("unreachable")

// Usage returns err as a UsageError.
func Usage(err error) error { return UsageError{Err: err} }
