package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"

	"intray/bench"
	"intray/cmd/internal/cli"
	"intray/infra/local"
)

// runningStack is a stack that "intray up" runs.
type runningStack struct {
	dir    string
	system cli.System
	stack  local.Stack
}

// running returns the stack with the data folder, or with the default data folder if data is empty.
func running(data string) (s runningStack, err error) {
	if s.dir, err = cli.DataDir(data); err != nil {
		return s, err
	}
	if s.system, err = cli.Running(s.dir); err != nil {
		return s, err
	}
	s.stack, err = local.ReadStack(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("%w: the stack has just been stopped", cli.ErrUnreachable)
	}
	return s, err
}

// config returns the configuration with which the measurements connect to the stack.
func (s runningStack) config(rows int, progress *cli.ProgressBar) bench.Config {
	options := s.system.NATS
	options.Name, options.Log = "bench", slog.New(slog.DiscardHandler)
	return bench.Config{
		Database: s.system.Database, NATS: options, MinIO: s.system.MinIO,
		Rows: rows, Progress: progress.Stage,
	}
}

// roleURL returns the URL of the database with another role.
func (s runningStack) roleURL(name string) (string, error) {
	password, err := local.ReadSecret(s.dir, "postgres_"+name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: %s has no password for the role %s",
			cli.ErrUnreachable, s.dir, name)
	}
	if err != nil {
		return "", err
	}
	role, err := url.Parse(s.system.Database)
	if err != nil {
		return "", errors.New("the URL of the database in " + local.StackFile + " is invalid")
	}
	role.User = url.UserPassword(name, password)
	return role.String(), nil
}

// consumePID returns the current process id of the consumers, or 0 if it cannot be read.
func (s runningStack) consumePID() int { return s.pids()["consume"] }

// pids returns the current process ids of the servers by name, or none if they cannot be read.
func (s runningStack) pids() map[string]int {
	stack, err := local.ReadStack(s.dir)
	if err != nil {
		return nil
	}
	return stack.PIDs
}

// write prints a report on standard output, as one JSON object or with the function table.
func write[R any](asJSON bool, report R, table func(io.Writer, R) error) error {
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(report)
	}
	return table(os.Stdout, report)
}
