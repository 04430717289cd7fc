package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

const rulesPath = "../../../infra/prometheus/alerts.yaml"

func TestAlertRulesAreUpToDate(t *testing.T) {
	want, err := render(rulesPath + ".tmpl")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(rulesPath)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("alerts.yaml is out of date, run go generate ./ops/status: got\n%s\nwant\n%s",
			got, want)
	}
}

// The template must refer to a limit by name, so that it is defined only once. Comparisons with 0
// are allowed, because they mean "any" or apply to a metric that is 0 or 1.
func TestTemplateContainsNoLimits(t *testing.T) {
	text, err := os.ReadFile(rulesPath + ".tmpl")
	if err != nil {
		t.Fatal(err)
	}
	for name := range limits {
		if got := strings.Count(string(text), "[[ ."+name); got != 1 {
			t.Errorf("%s: got %d references in the template, want 1", name, got)
		}
	}
	number := regexp.MustCompile(`[<>=] *(?:0\.\d|[1-9])[\d.]*`)
	if got := number.FindAllString(string(text), -1); len(got) > 0 {
		t.Errorf("got comparisons with numbers %q in the template, want none", got)
	}
}
