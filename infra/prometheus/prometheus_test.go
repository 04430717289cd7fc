package prometheus_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"intray/infra/local/localtest"
)

func TestPromtool(t *testing.T) {
	promtool := localtest.Promtool(t)
	for _, args := range [][]string{
		{"check", "rules", "alerts.yaml"},
		{"check", "config", "prometheus.yaml"},
		{"test", "rules", "alerts_test.yaml"},
	} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestEveryAlert wants a test that fires and a chapter of the runbook for each alert.
func TestEveryAlert(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	rules, tests, runbook := read("alerts.yaml"), read("alerts_test.yaml"), read("../../docs/runbook.md")
	names := regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(rules, -1)
	if len(names) < 10 {
		t.Fatalf("%d alerts", len(names))
	}
	for _, n := range names {
		name := n[1]
		if !strings.Contains(tests, "- alertname: "+name+"\n") {
			t.Errorf("%s: no test has it fire", name)
		}
		if !strings.Contains(runbook, "\n### "+name+"\n") {
			t.Errorf("%s: the runbook does not say what to do", name)
		}
		if !strings.Contains(rules, "runbook: docs/runbook.md#"+strings.ToLower(name)+"\n") {
			t.Errorf("%s: it does not say where to read on", name)
		}
	}
}
