package main

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"intray/cmd/internal/cli"
	"intray/docs/doctest"
)

func TestDocumentedCommandsExist(t *testing.T) {
	parser, err := cli.New("intray", description, &commands{})
	if err != nil {
		t.Fatal(err)
	}
	lines := doctest.CommandLines(t, "intray")
	if len(lines) < 80 {
		t.Errorf("got %d command lines, want at least 80", len(lines))
	}
	for _, line := range lines {
		parsed, err := kong.Trace(parser, line.Args)
		if err != nil {
			t.Fatal(err)
		}
		if parsed.Error != nil {
			t.Errorf("%s: intray %s: %v", line.Page, strings.Join(line.Args, " "), parsed.Error)
		}
	}
}
