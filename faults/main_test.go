package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"intray/infra/local/localtest"
)

// TestMain makes the suite the parent of processes that its descendants leave behind, so that the
// suite can check at the end that no process is left.
func TestMain(m *testing.M) {
	if err := localtest.BecomeSubreaper(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestDescendantsIncludeOrphans(t *testing.T) {
	if got := localtest.Descendants(os.Getpid()); len(got) > 0 {
		t.Fatalf("got descendants %v before any is started, want none", got)
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	// The orphan is like a process that a killed server leaves behind: its parent has exited, and it
	// has its own session.
	file := filepath.Join(t.TempDir(), "pid")
	if err := exec.Command("sh", "-c", `setsid sleep 60 & echo $! >"$0"`, file).Run(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	orphan, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	descendants := localtest.Descendants(os.Getpid())
	var got []int
	for _, p := range descendants {
		got = append(got, p.PID)
		_ = syscall.Kill(p.PID, syscall.SIGKILL)
	}
	want := []int{child.Process.Pid, orphan}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got descendants %v, want the child and the orphan: %v", descendants, want)
	}
	_ = child.Wait()
	await(t, time.Minute, "both processes to end", func() error {
		if n := len(localtest.Descendants(os.Getpid())); n > 0 {
			return fmt.Errorf("%d are still running", n)
		}
		return nil
	})
}
