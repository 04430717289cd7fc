package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"intray/infra/connlimit"
	"intray/infra/drain"
)

// Server returns an HTTP server for the gateway. It accepts headers of up to 16 KiB that arrive
// within HeaderTimeout, and closes a connection that is idle for two minutes. A presigned download
// URL with a long non-Latin file name takes about 4 KiB. The handler limits the duration of a
// transfer, and the listener of Serve limits the number of connections.
func Server(config Config) *http.Server {
	config = config.withDefaults()
	return &http.Server{
		Handler:           New(config),
		ReadHeaderTimeout: config.HeaderTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(config.Log.Handler(), slog.LevelWarn),
		// By default net/http answers OPTIONS * itself, so the handler could not refuse it.
		DisableGeneralOptionsHandler: true,
	}
}

// Serve runs the gateway on listener until ctx is canceled, and then shuts it down as drain.Serve
// does, with ShutdownTimeout. It returns nil after that, also if transfers were not finished.
func Serve(ctx context.Context, listener net.Listener, config Config) error {
	config = config.withDefaults()
	limited := connlimit.Listen(listener, config.Connections, config.Log)
	server := Server(config)
	server.ConnState = limited.ConnState
	transport := server.Handler.(*handler).transport
	defer transport.CloseIdleConnections()
	err := drain.Serve(ctx, server, limited, config.ShutdownTimeout)
	if errors.Is(err, context.DeadlineExceeded) {
		config.Log.Warn("closed connections with unfinished transfers at shutdown",
			"timeout", config.ShutdownTimeout)
		return nil
	}
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}
