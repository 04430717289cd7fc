package doctest_test

import (
	"strings"
	"testing"

	"intray/docs/doctest"
)

func TestCommands(t *testing.T) {
	for line, want := range map[string]string{
		`intray users list # all of them`:             "intray,users,list",
		`KEY=v OTHER="a b" intray provision`:          "intray,provision",
		`intray events list --json | jq -c . >f`:      "intray,events,list,--json;jq,-c,.",
		`intray x --reason "the provider was down" &`: "intray,x,--reason,the provider was down",
		`a && b > file; c`:                            "a;b;c",
	} {
		var got []string
		for _, words := range doctest.Commands(strings.ReplaceAll(line, ";", " ;")) {
			got = append(got, strings.Join(words, ","))
		}
		if strings.Join(got, ";") != want {
			t.Errorf("%s: got %q, want %s", line, got, want)
		}
	}
}
