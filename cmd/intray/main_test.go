package main_test

import (
	"strings"
	"testing"

	"intray/cmd/internal/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

// stack is a running "intray up" with the commands of operators.
type stack struct{ *stacktest.Stack }

// up starts "intray up". It is stopped at the end of the test.
func up(t testing.TB) *stack { return &stack{stacktest.Up(t)} }

// operator runs an operator's command on the stack, checks its exit status and returns its output.
func (s *stack) operator(t testing.TB, want int, args ...string) string {
	t.Helper()
	stdout, stderr, status := stacktest.Run(t, nil, "intray", append(args, "--data", s.Dir)...)
	if status != want {
		t.Fatalf("intray %s: got exit status %d, want %d\n%s%s",
			strings.Join(args, " "), status, want, stdout, stderr)
	}
	return stdout
}

// expectText checks that the output of a command contains each text.
func expectText(t testing.TB, got string, want ...string) {
	t.Helper()
	for _, text := range want {
		if !strings.Contains(got, text) {
			t.Errorf("got\n%s\nwant %q in it", got, text)
		}
	}
}
