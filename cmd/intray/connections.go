package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"intray/cmd/internal/cli"
	"intray/infra/nats"
	"intray/infra/postgres"
)

// serverSettings are the settings that the API and the consumers have in common.
type serverSettings struct {
	cli.LogSettings      `group:"Logs and traces:"`
	traceSettings        `group:"Logs and traces:"`
	cli.DatabaseSettings `group:"PostgreSQL, NATS and MinIO:"`
	cli.NATSSettings     `group:"PostgreSQL, NATS and MinIO:"`
	cli.MinIOSettings    `group:"PostgreSQL, NATS and MinIO:"`
}

// connections are the connections of a server to PostgreSQL and NATS, with its logger.
type connections struct {
	log         *slog.Logger
	db          *postgres.DB
	conn        *nats.Conn
	stopTracing func()
}

// connect starts a server with the name (start), starts its tracing and connects it to PostgreSQL
// and, as the NATS user, to NATS. outsideHeap is the number of bytes that the server uses outside
// of Go's heap. The caller must close the connections.
func (s serverSettings) connect(
	ctx context.Context, name, natsUser string, outsideHeap uint64, o postgres.Options,
) (c connections, err error) {
	c.log = s.Logger(name)
	start(c.log, outsideHeap)
	if c.stopTracing, err = s.startTracing(name, c.log); err != nil {
		return c, err
	}
	if c.db, err = postgres.Open(s.DatabaseURL, o); err != nil {
		c.close()
		return c, err
	}
	if err = checkPooling(ctx, c.db.Ping); err != nil {
		c.close()
		return c, err
	}
	c.conn, err = nats.Connect(ctx, nats.Options{
		URL: s.NATSURL, User: natsUser, Password: s.NATSPassword, CA: s.NATSCA, Name: name, Log: c.log,
	})
	if err != nil {
		c.close()
	}
	return c, err
}

// checkPooling fails if ping, which connects to the database, meets a pooler in a mode that is not
// supported. If PostgreSQL cannot be reached now, checkPooling returns nil, because a server can
// start before its database. The mode is then checked when the first connection succeeds.
func checkPooling(ctx context.Context, ping func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := ping(ctx); errors.Is(err, postgres.ErrTransactionPooling) {
		return err
	}
	return nil
}

// close closes the connections that were opened, and exports the last traces.
func (c connections) close() {
	if c.conn != nil {
		c.conn.Close()
	}
	if c.db != nil {
		_ = c.db.Close()
	}
	c.stopTracing()
}
