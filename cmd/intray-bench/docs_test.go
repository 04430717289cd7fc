package main

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"intray/cmd/internal/cli"
	"intray/docs/doctest"
)

func TestDocumentedCommandsExist(t *testing.T) {
	parser, err := cli.New("intray-bench", description, &commands{})
	if err != nil {
		t.Fatal(err)
	}
	lines := doctest.CommandLines(t, "intray-bench")
	if len(lines) < 5 {
		t.Errorf("got %d command lines, want at least 5", len(lines))
	}
	for _, line := range lines {
		parsed, err := kong.Trace(parser, line.Args)
		if err != nil {
			t.Fatal(err)
		}
		if parsed.Error != nil {
			t.Errorf("%s: intray-bench %s: %v", line.Page, strings.Join(line.Args, " "), parsed.Error)
		}
	}
}
