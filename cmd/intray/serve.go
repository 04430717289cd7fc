package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"intray/infra/telemetry"
	"intray/infra/telemetry/buildinfo"
)

// shutdownTimeout is how long requests in flight may take to end.
const shutdownTimeout = 10 * time.Second

// logStart logs which build of a server starts.
func logStart(log *slog.Logger) {
	build := buildinfo.Read()
	log.Info("starting", "version", build.Version, "commit", build.Commit)
}

// watchServer returns a server of /healthz and /metrics, for a listener of its own that
// clients do not reach.
func watchServer(measured ...prometheus.Collector) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.Handle("GET /metrics", telemetry.Metrics(measured...))
	return &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second,
	}
}

// serve runs an HTTP server on address until ctx ends, then lets the requests
// in flight finish.
func serve(ctx context.Context, server *http.Server, address string, log *slog.Logger) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	log.Info("listening", "address", listener.Addr().String())
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		return errors.Join(fmt.Errorf("requests cut at shutdown: %w", err), server.Close())
	}
	return nil
}
