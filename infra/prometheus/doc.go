// Package prometheus holds the configuration of Prometheus: the servers to scrape (prometheus.yaml)
// and the alert rules (alerts.yaml). The rules are generated from alerts.yaml.tmpl and tested by
// alerts_test.yaml. The tests of this package run promtool. A test in cmd/intray checks that the
// servers export every metric that the rules and the Grafana dashboard use.
package prometheus
