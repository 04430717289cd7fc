// Package prometheus holds what Prometheus is told: what to read (prometheus.yaml)
// and when to call somebody (alerts.yaml, tested by alerts_test.yaml). Its tests
// run promtool; that every measurement in them, and in Grafana's dashboard, is one
// that the processes really show is tested in cmd/intray.
package prometheus
