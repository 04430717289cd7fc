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

// TestEveryAlertIsTestedAndDocumented checks that each alert has a test in which it fires, a
// section of the runbook, and a link to that section.
func TestEveryAlertIsTestedAndDocumented(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	rules, tests := read("alerts.yaml"), read("alerts_test.yaml")
	runbook := read("../../docs/runbook.md")
	names := regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(rules, -1)
	if len(names) < 10 {
		t.Fatalf("got %d alerts in alerts.yaml, want at least 10", len(names))
	}
	for _, n := range names {
		name := n[1]
		if !strings.Contains(tests, "- alertname: "+name+"\n") {
			t.Errorf("%s: got no test in which it fires, want one", name)
		}
		if !strings.Contains(runbook, "\n### "+name+"\n") {
			t.Errorf("%s: got no section in the runbook, want one", name)
		}
		if !strings.Contains(rules, "runbook: docs/runbook.md#"+strings.ToLower(name)+"\n") {
			t.Errorf("%s: got no link to its section in the runbook, want one", name)
		}
	}
}
