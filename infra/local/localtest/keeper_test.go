package localtest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Two test processes under one parent share the servers, which end, data and all, when the
// parent is gone.
func TestServersEndWithTheRun(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	run := exec.Command("/bin/sh", "-c", `"$0" -test.run=PostgresEmpty && ls "$1"/*/servers.json && `+
		`cat "$1"/*/servers.json && "$0" -test.run=PostgresEmpty && cat "$1"/*/servers.json; exit $?`, exe, temp)
	run.Env = append(os.Environ(), "TMPDIR="+temp)
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var told []string
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "{") {
			told = append(told, line)
		}
	}
	if len(told) != 2 || told[0] != told[1] {
		t.Errorf("two processes of a run had different servers:\n%s", out)
	}
	for deadline := time.Now().Add(5 * time.Minute); ; {
		left, err := filepath.Glob(filepath.Join(temp, "intray-test-*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v are left after the run", left)
		}
		<-time.After(20 * time.Millisecond)
	}
}
