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

// traceSettings say where traces go; the names and their meaning are OpenTelemetry's
// (https://opentelemetry.io/docs/specs/otel/protocol/exporter/).
type traceSettings struct {
	OTLPEndpoint       string  `name:"otel-exporter-otlp-endpoint" env:"OTEL_EXPORTER_OTLP_ENDPOINT" placeholder:"URL" help:"The address that takes traces by OTLP over HTTP; /v1/traces is added. Without it nothing is traced."`
	OTLPTracesEndpoint string  `name:"otel-exporter-otlp-traces-endpoint" env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" placeholder:"URL" help:"The whole address instead."`
	OTLPHeaders        string  `name:"otel-exporter-otlp-headers" env:"OTEL_EXPORTER_OTLP_HEADERS" secret:"" placeholder:"NAME=VALUE,..." help:"Headers for it."`
	SampleRatio        float64 `name:"otel-traces-sampler-arg" env:"OTEL_TRACES_SAMPLER_ARG" default:"1" help:"The share of the documents that are traced, 0 to 1; the same everywhere."`
}

// startTracing has what a part does to documents sent, if a setting says where to,
// until the returned function is called.
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
			log.Warn("the last traces were not sent", "error", err)
		}
	}, nil
}

// headers reads name=value pairs, separated by commas and encoded as in a URL.
func headers(text string) (map[string]string, error) {
	all := make(map[string]string)
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil {
			return nil, errors.New("OTEL_EXPORTER_OTLP_HEADERS must be name=value,name=value (see docs/configuration.md)")
		}
		all[strings.TrimSpace(name)] = value
	}
	return all, nil
}
