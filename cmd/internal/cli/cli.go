// Package cli is what the commands of this repository have in common: their exit
// statuses, how a usage error is told from a failure, how they find the system that
// they work on, their settings, and their progress bar.
package cli

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
	exitClean       = 0
	exitFailed      = 1 // something was found, or failed
	exitUsage       = 2 // the command line or a setting is wrong
	exitUnreachable = 3 // a part of the system does not answer
)

// Main runs the program called name, whose commands are the fields of grammar (see
// kong), until it is done or interrupted, and exits with its status.
func Main(name, description string, grammar any) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, name, description, grammar, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run parses args, runs the command and returns the exit status.
func run(ctx context.Context, name, description string, grammar any, args []string, stdout, stderr io.Writer) int {
	exited := -1
	parser, err := kong.New(grammar,
		kong.Name(name), kong.Description(description),
		kong.UsageOnError(), kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return exitFailed
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help was answered
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\nTry \"%s --help\".\n", name, err, commandOf(name, err))
		return exitUsage
	}
	err = parsed.Run()
	switch {
	case err == nil:
		return exitClean
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintf(stderr, "%s: interrupted\n", name)
		return exitFailed
	}
	fmt.Fprintf(stderr, "%s: %v\n", name, err)
	var usage UsageError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, ErrUnreachable), errors.Is(err, postgres.ErrUnavailable), errors.Is(err, minio.ErrUnavailable),
		errors.Is(err, nats.ErrUnavailable), errors.Is(err, ai.ErrUnavailable):
		return exitUnreachable
	default:
		return exitFailed
	}
}

// commandOf returns the command that a parser's error is about, as far as its words
// were understood.
func commandOf(name string, err error) string {
	words := []string{name}
	var wrong *kong.ParseError
	if errors.As(err, &wrong) && wrong.Context != nil {
		for _, step := range wrong.Context.Path {
			if step.Command != nil {
				words = append(words, step.Command.Name)
			}
		}
	}
	return strings.Join(words, " ")
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
