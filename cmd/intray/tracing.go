package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"intray/cmd/internal/cli"
	"intray/infra/telemetry"
)

// tracingVariables are OpenTelemetry's, which the servers read.
var tracingVariables = []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_TRACES_SAMPLER_ARG"}

// traceSettings say where traces go; the names and their meaning are OpenTelemetry's
// (https://opentelemetry.io/docs/specs/otel/protocol/exporter/).
type traceSettings struct {
	Endpoint string  `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
	Traces   string  `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"`
	Headers  string  `env:"OTEL_EXPORTER_OTLP_HEADERS"`
	Ratio    float64 `env:"OTEL_TRACES_SAMPLER_ARG" envDefault:"1"`
}

// trace has what a part does to documents sent, if a setting says where to, until
// the returned function is called.
func (s traceSettings) trace(part string, log *slog.Logger) (end func(), err error) {
	config := telemetry.TraceConfig{Endpoint: s.Traces, Ratio: s.Ratio, Service: part, Log: log}
	if config.Endpoint == "" && s.Endpoint != "" {
		config.Endpoint = strings.TrimSuffix(s.Endpoint, "/") + "/v1/traces"
	}
	if config.Headers, err = headers(s.Headers); err != nil {
		return nil, cli.Usage(err)
	}
	stop, err := telemetry.Trace(config)
	if err != nil {
		return nil, cli.Usage(fmt.Errorf("traces: %w (see docs/configuration.md)", err))
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		if err := stop(ctx); err != nil {
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
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_HEADERS is not of the form name=value,name=value")
		}
		all[strings.TrimSpace(name)] = value
	}
	return all, nil
}
