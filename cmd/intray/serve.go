package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"intray/infra/connlimit"
	"intray/infra/drain"
	"intray/infra/telemetry"
	"intray/infra/telemetry/buildinfo"
)

// shutdownTimeout is how long a server waits at shutdown for requests in flight.
const shutdownTimeout = 10 * time.Second

// start logs the start of a server and limits its memory (limitMemory).
func start(log *slog.Logger, outsideHeap uint64) {
	build := buildinfo.Read()
	log.Info("starting", "version", build.Version, "commit", build.Commit)
	limitMemory(outsideHeap, log)
}

// privateServer returns the server of the private listener. It serves /healthz, /metrics and Go's
// profiles at /debug/pprof/. Requests for profiles end when ctx is canceled.
func privateServer(ctx context.Context, metrics ...prometheus.Collector) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.Handle("GET /metrics", telemetry.MetricsHandler(metrics...))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		// Package pprof extends the deadline by the duration of a profile or trace.
		WriteTimeout: 30 * time.Second,
		BaseContext:  func(net.Listener) context.Context { return ctx },
	}
}

// serveWithPrivate runs public and serves the private listener at address. It returns when both
// have ended. Both end when ctx is canceled or when one of them fails.
func serveWithPrivate(
	ctx context.Context, address string, metrics []prometheus.Collector, log *slog.Logger,
	public func(context.Context) error,
) error {
	private, err := listen(ctx, "private", address, log)
	if err != nil {
		return err
	}
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return serve(ctx, privateServer(ctx, metrics...), private) })
	both.Go(func() error { return public(ctx) })
	return both.Wait()
}

// listen opens a listener on address and logs it. The name is "public" or "private".
func listen(ctx context.Context, name, address string, log *slog.Logger) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open the %s listener: %w", name, err)
	}
	log.Info("listening", "listener", name, "address", listener.Addr().String())
	return drain.Listen(listener.(*net.TCPListener)), nil
}

// connectionSettings are the limits on the connections of a public listener.
type connectionSettings struct {
	MaxConnections           int `env:"MAX_CONNECTIONS" placeholder:"4096" help:"Maximum number of concurrent connections."`
	MaxConnectionsPerAddress int `env:"MAX_CONNECTIONS_PER_ADDRESS" placeholder:"1024" help:"Maximum number of concurrent connections of one address. An IPv6 /64 network counts as one address."`
}

func (s connectionSettings) limits(proxies []netip.Prefix) connlimit.Limits {
	return connlimit.Limits{
		Total: s.MaxConnections, PerNetwork: s.MaxConnectionsPerAddress, Proxies: proxies,
	}
}

// serve runs server on listener until ctx is canceled, and then waits up to shutdownTimeout for
// the requests in flight.
func serve(ctx context.Context, server *http.Server, listener net.Listener) error {
	return drain.Serve(ctx, server, listener, shutdownTimeout)
}
