package main

import (
	"context"

	"intray/cmd/internal/cli"
	"intray/infra/gateway"
)

type gatewayCommand struct {
	Listen        string `env:"LISTEN" default:"127.0.0.1:9000" help:"Public address to listen on."`
	MetricsListen string `env:"METRICS_LISTEN" default:"127.0.0.1:9002" help:"Private address to listen on, for /metrics, /healthz and /debug/pprof/. Clients must not reach it."`

	connectionSettings

	cli.LogSettings   `group:"Logs and traces:"`
	traceSettings     `group:"Logs and traces:"`
	cli.MinIOSettings `group:"MinIO:"`
}

// Help describes the gateway.
func (gatewayCommand) Help() string {
	return `The gateway forwards uploads and downloads with presigned URLs to MinIO, and refuses all
other requests. Clients need no other access to MinIO.`
}

// Run serves the gateway until ctx is canceled.
func (c gatewayCommand) Run(ctx context.Context) error {
	log := c.Logger("gateway")
	start(log, 0)
	stopTracing, err := c.startTracing("gateway", log)
	if err != nil {
		return err
	}
	defer stopTracing()
	public := func(ctx context.Context) error {
		listener, err := listen(ctx, "public", c.Listen, log)
		if err != nil {
			return err
		}
		return gateway.Serve(ctx, listener, gateway.Config{
			Upstream: &c.MinIOEndpoint.URL, Bucket: c.MinIOBucket, Log: log,
			Connections: c.limits(nil),
		})
	}
	return serveWithPrivate(ctx, c.MetricsListen, gateway.Metrics(), log, public)
}
