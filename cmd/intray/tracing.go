package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"intray/cmd/internal/cli"
	"intray/infra/telemetry"
)

// traceSettings configure the export of traces. Their names and meanings are those of
// OpenTelemetry (https://opentelemetry.io/docs/specs/otel/protocol/exporter/).
type traceSettings struct {
	OTLPEndpoint       string  `name:"otel-exporter-otlp-endpoint" env:"OTEL_EXPORTER_OTLP_ENDPOINT" placeholder:"URL" help:"URL of a server that receives traces with OTLP over HTTP; /v1/traces is appended. Without a URL there are no traces."`
	OTLPTracesEndpoint string  `name:"otel-exporter-otlp-traces-endpoint" env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" placeholder:"URL" help:"Full URL for traces, instead of OTEL_EXPORTER_OTLP_ENDPOINT."`
	OTLPHeaders        string  `name:"otel-exporter-otlp-headers" env:"OTEL_EXPORTER_OTLP_HEADERS" secret:"" placeholder:"NAME=VALUE,..." help:"HTTP headers to send with the traces."`
	SampleRatio        float64 `name:"otel-traces-sampler-arg" env:"OTEL_TRACES_SAMPLER_ARG" default:"1" help:"Fraction of the documents that are traced, 0 to 1. Set the same value for all servers."`
}

// startTracing exports the spans of a server, if an endpoint is configured, until the returned
// function is called.
func (s traceSettings) startTracing(part string, log *slog.Logger) (stop func(), err error) {
	config := telemetry.TraceConfig{
		Endpoint: s.OTLPTracesEndpoint, Ratio: s.SampleRatio, Service: part, Log: log,
	}
	if config.Endpoint == "" && s.OTLPEndpoint != "" {
		config.Endpoint = strings.TrimSuffix(s.OTLPEndpoint, "/") + "/v1/traces"
	}
	if config.Headers, err = headers(s.OTLPHeaders); err != nil {
		return nil, cli.Usage(err)
	}
	end, err := telemetry.StartTracing(config)
	if err != nil {
		return nil, cli.Usage(fmt.Errorf("traces: %w (see docs/configuration.md)", err))
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		if err := end(ctx); err != nil {
			log.Warn("last traces not exported", "error", err)
		}
	}, nil
}

// headers parses URL-encoded name=value pairs that are separated by commas.
func headers(text string) (map[string]string, error) {
	all := make(map[string]string)
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil {
			return nil, errors.New("OTEL_EXPORTER_OTLP_HEADERS must be name=value,name=value " +
				"(see docs/configuration.md)")
		}
		all[strings.TrimSpace(name)] = value
	}
	return all, nil
}
