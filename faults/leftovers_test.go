package faults

import (
	"errors"
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

// The suite adopts what its descendants leave behind, so that it sees at its end which
// processes are left.
func TestMain(m *testing.M) {
	if err := localtest.BecomeSubreaper(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestProcessesThatAreLeftAreSeen(t *testing.T) {
	if left := localtest.Descendants(os.Getpid()); len(left) > 0 {
		t.Fatalf("got %v before anything is started, want nothing", left)
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	// What a killed server leaves behind: its parent has ended, and its session is its own.
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
	left := localtest.Descendants(os.Getpid())
	var pids []int
	for _, p := range left {
		pids = append(pids, p.PID)
		_ = syscall.Kill(p.PID, syscall.SIGKILL)
	}
	want := []int{child.Process.Pid, orphan}
	slices.Sort(want)
	slices.Sort(pids)
	if !slices.Equal(pids, want) {
		t.Errorf("got %v, want the child and the orphan: %v", left, want)
	}
	_ = child.Wait()
	await(t, time.Minute, "both to end", func() error {
		if len(localtest.Descendants(os.Getpid())) > 0 {
			return errors.New("still there")
		}
		return nil
	})
}
