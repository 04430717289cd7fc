package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Server returns an HTTP server around the gateway with its limits set: headers within HeaderTimeout and 16 KiB (a
// presigned download URL with a long name in another script has about 4), two idle minutes between requests. The
// transfer itself is bounded by the handler, the number of connections by the listener of Serve.
func Server(config Config) *http.Server {
	config = config.withDefaults()
	return &http.Server{
		Handler:           New(config),
		ReadHeaderTimeout: config.HeaderTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(config.Log.Handler(), slog.LevelWarn),
		// OPTIONS * would be answered by net/http itself; here it is refused like any other path.
		DisableGeneralOptionsHandler: true,
	}
}

// Serve runs the gateway on listener until ctx is done, then takes no new connections and gives the transfers in flight
// ShutdownTimeout to end before it cuts them. It returns nil after an orderly end, and closes listener in any case.
func Serve(ctx context.Context, listener net.Listener, config Config) error {
	config = config.withDefaults()
	listener = bounded(listener, config)
	server := Server(config)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve gateway: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), config.ShutdownTimeout)
	defer cancel()
	err := server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		config.Log.Warn("transfers cut at shutdown", "after", config.ShutdownTimeout)
		err = server.Close()
	}
	<-done
	server.Handler.(*handler).transport.CloseIdleConnections()
	if err != nil {
		return fmt.Errorf("shut down gateway: %w", err)
	}
	return nil
}
