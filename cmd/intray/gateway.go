package main

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/sync/errgroup"

	"intray/cmd/internal/cli"
	"intray/infra/gateway"
)

type gatewayCommand struct{}

type gatewaySettings struct {
	Log    cli.LogSettings
	Traces traceSettings
	MinIO  cli.MinIOSettings
	Listen string `env:"LISTEN" envDefault:"127.0.0.1:9000"`
	Watch  string `env:"METRICS_LISTEN" envDefault:"127.0.0.1:9002"`

	MaxConns           int `env:"MAX_CONNECTIONS"`
	MaxConnsPerAddress int `env:"MAX_CONNECTIONS_PER_ADDRESS"`
}

// Help lists what the command reads from the environment.
func (gatewayCommand) Help() string {
	return `Browsers upload to and download from the gateway; nothing else reaches MinIO.

Environment: MINIO_ENDPOINT (required), MINIO_BUCKET, LISTEN, METRICS_LISTEN (for
/metrics, which browsers must not reach), MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS,
LOG_LEVEL.`
}

// Run serves until ctx ends.
func (gatewayCommand) Run(ctx context.Context) error {
	s, err := cli.ReadSettings[gatewaySettings]()
	if err != nil {
		return err
	}
	log := s.Log.Logger("gateway")
	untrace, err := s.Traces.trace("gateway", log)
	if err != nil {
		return err
	}
	defer untrace()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	log.Info("gateway listens", "address", listener.Addr().String())
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return serve(ctx, watchServer(gateway.Metrics()...), s.Watch, log) })
	both.Go(func() error {
		return gateway.Serve(ctx, listener, gateway.Config{
			Upstream: &s.MinIO.Endpoint.URL, Bucket: s.MinIO.Bucket, Log: log,
			MaxConns: s.MaxConns, MaxConnsPerAddress: s.MaxConnsPerAddress,
		})
	})
	return both.Wait()
}
