// Command make generates the Prometheus alert rules from a template and the limits of package
// status. "go generate ./ops/status" runs it.
package main

import (
	"bytes"
	"fmt"
	"os"
	"text/template"

	"intray/ops/status"
)

// limits are the limits that the template refers to by name.
var limits = map[string]any{
	"MaxPendingAge":       status.MaxPendingAge,
	"MaxUnclassifiedAge":  status.MaxUnclassifiedAge,
	"MaxUnpublishedAge":   status.MaxUnpublishedAge,
	"MaxDeletionAge":      status.MaxDeletionAge,
	"MaxDeadLetters":      status.MaxDeadLetters,
	"MaxDrift":            status.MaxDrift,
	"MaxReconcileAge":     status.MaxReconcileAge,
	"MaxStreamFill":       status.MaxStreamFill,
	"MaxPendingMessages":  status.MaxPendingMessages,
	"MaxProviderFailures": status.MaxProviderFailures,
	"MaxServerErrors":     status.MaxServerErrors,
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: make TEMPLATE OUTPUT")
		os.Exit(2)
	}
	rules, err := render(os.Args[1])
	if err == nil {
		err = os.WriteFile(os.Args[2], rules, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make:", err)
		os.Exit(1)
	}
}

// render executes the template at path and returns the rules. The delimiters of the template
// are [[ and ]], because Prometheus itself expands {{ and }}.
func render(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t, err := template.New(path).Delims("[[", "]]").Option("missingkey=error").Parse(string(text))
	if err != nil {
		return nil, err
	}
	var rules bytes.Buffer
	if err := t.Execute(&rules, limits); err != nil {
		return nil, err
	}
	return rules.Bytes(), nil
}
