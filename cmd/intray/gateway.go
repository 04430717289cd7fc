package main

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/sync/errgroup"

	"intray/cmd/internal/cli"
	"intray/infra/gateway"
)

type gatewayCommand struct {
	Listen        string `env:"LISTEN" default:"127.0.0.1:9000" help:"The address to serve on."`
	MetricsListen string `env:"METRICS_LISTEN" default:"127.0.0.1:9002" help:"The address to serve /metrics on, which browsers must not reach."`

	MaxConnections           int `env:"MAX_CONNECTIONS" placeholder:"4096" help:"How many connections there may be at once."`
	MaxConnectionsPerAddress int `env:"MAX_CONNECTIONS_PER_ADDRESS" placeholder:"1024" help:"How many of them one address may have; an IPv6 /64 counts as one."`

	cli.LogSettings   `group:"Logs and traces:"`
	traceSettings     `group:"Logs and traces:"`
	cli.MinIOSettings `group:"MinIO:"`
}

// Help says what the gateway is for.
func (gatewayCommand) Help() string {
	return "Browsers upload to and download from the gateway; nothing else reaches MinIO."
}

// Run serves until ctx ends.
func (c gatewayCommand) Run(ctx context.Context) error {
	log := c.Logger("gateway")
	logStart(log)
	stopTracing, err := c.startTracing("gateway", log)
	if err != nil {
		return err
	}
	defer stopTracing()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	log.Info("gateway listens", "address", listener.Addr().String())
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return serve(ctx, watchServer(gateway.Metrics()...), c.MetricsListen, log) })
	both.Go(func() error {
		return gateway.Serve(ctx, listener, gateway.Config{
			Upstream: &c.MinIOEndpoint.URL, Bucket: c.MinIOBucket, Log: log,
			MaxConns: c.MaxConnections, MaxConnsPerAddress: c.MaxConnectionsPerAddress,
		})
	})
	return both.Wait()
}
