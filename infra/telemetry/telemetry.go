// Package telemetry serves Prometheus metrics (MetricsHandler), sends traces over the OpenTelemetry
// protocol (StartTracing, FirstStep, Step), and adds trace IDs to logs (LogHandler).
//
// Metrics are defined in the packages that they measure. Each of these packages has a function
// Metrics that returns its collectors, and cmd registers the collectors of a process.
package telemetry
