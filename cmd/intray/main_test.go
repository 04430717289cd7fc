package main_test

import (
	"strings"
	"testing"

	"intray/cmd/internal/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

// stack is a running "intray up" and what operators do to it.
type stack struct{ *stacktest.Stack }

// up starts "intray up", which ends with the test.
func up(t testing.TB) *stack { return &stack{stacktest.Up(t)} }

// operator runs an operator's command on the stack and checks its exit status.
func (s *stack) operator(t testing.TB, want int, args ...string) string {
	t.Helper()
	stdout, stderr, status := stacktest.Run(t, nil, "intray", append(args, "--data", s.Dir)...)
	if status != want {
		t.Fatalf("intray %s: status %d, want %d\n%s%s", strings.Join(args, " "), status, want, stdout, stderr)
	}
	return stdout
}

// expectText checks that what a command wrote contains each text.
func expectText(t testing.TB, got string, want ...string) {
	t.Helper()
	for _, text := range want {
		if !strings.Contains(got, text) {
			t.Errorf("got\n%s\nwant %q in it", got, text)
		}
	}
}
