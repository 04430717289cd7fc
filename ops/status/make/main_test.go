package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

const rulesPath = "../../../infra/prometheus/alerts.yaml"

func TestAlertRulesAreCurrent(t *testing.T) {
	want, err := render(rulesPath + ".tmpl")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(rulesPath)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("alerts.yaml is not current, run go generate ./ops/status: got\n%s\nwant\n%s", got, want)
	}
}

// A number in the template would be a second place for a bound. Comparisons with 0
// have no bound to take: "any at all", or a metric that is 0 or 1.
func TestTheTemplateTakesItsNumbersFromTheBounds(t *testing.T) {
	text, err := os.ReadFile(rulesPath + ".tmpl")
	if err != nil {
		t.Fatal(err)
	}
	for name := range bounds {
		if got := strings.Count(string(text), "[[ ."+name); got != 1 {
			t.Errorf("the template names %s %d times, want 1", name, got)
		}
	}
	number := regexp.MustCompile(`[<>=] *(?:0\.\d|[1-9])[\d.]*`)
	if got := number.FindAllString(string(text), -1); len(got) > 0 {
		t.Errorf("the template compares with %q, want bounds only", got)
	}
}
