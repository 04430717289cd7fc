// Package telemetry is how the processes are watched: the metrics that Prometheus
// reads from each (MetricsHandler), and the traces that each sends by OpenTelemetry's
// protocol where it is told to (StartTracing). What is measured is declared where it
// happens: a package that measures has a function Metrics that returns its
// collectors, and cmd registers those of the process.
package telemetry
