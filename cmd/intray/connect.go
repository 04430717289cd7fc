package main

import (
	"context"
	"errors"
	"log/slog"

	"intray/cmd/internal/cli"
	"intray/infra/nats"
)

// connectNATS connects to NATS as the operator, with name as the name of the connection. It fails
// if NATS cannot be reached or is not configured.
func connectNATS(ctx context.Context, s cli.System, name string) (*nats.Conn, error) {
	if s.NATS.URL == "" {
		return nil, cli.Usage(errors.New("NATS_URL is not set (see docs/configuration.md)"))
	}
	s.NATS.Name, s.NATS.Log = name, slog.New(slog.DiscardHandler)
	conn, err := nats.Connect(ctx, s.NATS)
	if err != nil {
		return nil, err
	}
	if err := conn.Ping(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}
