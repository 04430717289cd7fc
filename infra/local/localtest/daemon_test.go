package localtest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The shell stands in for `go test`: it is the parent of two test processes, one after the other.
func TestServersOfATestRun(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	const script = `"$0" -test.run=PostgresEmpty && ls "$1"/*/servers.json && ` +
		`cat "$1"/*/servers.json && "$0" -test.run=PostgresEmpty && cat "$1"/*/servers.json; exit $?`
	run := exec.Command("/bin/sh", "-c", script, exe, temp)
	run.Env = append(os.Environ(), "TMPDIR="+temp)
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Run("are shared by its processes", func(t *testing.T) {
		var servers []string
		for line := range strings.Lines(string(out)) {
			if strings.HasPrefix(line, "{") {
				servers = append(servers, line)
			}
		}
		if len(servers) != 2 || servers[0] != servers[1] {
			t.Errorf("got servers %q, want the same for both processes; output:\n%s", servers, out)
		}
	})
	t.Run("are removed with their data at its end", func(t *testing.T) {
		for deadline := time.Now().Add(5 * time.Minute); ; {
			left, err := filepath.Glob(filepath.Join(temp, "intray-test-*"))
			if err != nil {
				t.Fatal(err)
			}
			if len(left) == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("got folders %v after the run, want none", left)
			}
			<-time.After(20 * time.Millisecond)
		}
	})
}
