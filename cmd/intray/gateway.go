package main

import (
	"context"

	"intray/cmd/internal/cli"
	"intray/infra/gateway"
)

type gatewayCommand struct {
	Listen        string `env:"LISTEN" default:"127.0.0.1:9000" help:"The address to serve on."`
	MetricsListen string `env:"METRICS_LISTEN" default:"127.0.0.1:9002" help:"The private address to serve /metrics, /healthz and /debug/pprof/ on. Clients must not reach it."`

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
	metrics := gateway.Metrics()
	return servePrivately(ctx, c.MetricsListen, metrics, log, func(ctx context.Context) error {
		listener, err := listen(ctx, "public", c.Listen, log)
		if err != nil {
			return err
		}
		return gateway.Serve(ctx, listener, gateway.Config{
			Upstream: &c.MinIOEndpoint.URL, Bucket: c.MinIOBucket, Log: log,
			MaxConns: c.MaxConnections, MaxConnsPerAddress: c.MaxConnectionsPerAddress,
		})
	})
}
