package faults

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// What the suite says at its end it can only say if it sees what is left.
func TestProcessesThatAreLeftAreSeen(t *testing.T) {
	s := &system{t: t, dir: filepath.Join(t.TempDir(), "data")}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if left := s.processes(); len(left) > 0 {
		t.Fatalf("before anything is started: %v", left)
	}
	// One is the suite's child and works elsewhere; the other works in the data
	// folder and is nobody's child, as what a killed server leaves behind.
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	orphan := exec.Command("sh", "-c", "sleep 60 & echo $! >pid")
	orphan.Dir = s.dir
	if err := orphan.Run(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	left := s.processes()
	if len(left) != 2 || left[child.Process.Pid] == "" {
		t.Errorf("left are %v, of which %d is the child and %s the orphan", left, child.Process.Pid, text)
	}
	for pid := range left {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = child.Wait()
	await(t, time.Minute, "both to end", func() error {
		if left := s.processes(); len(left) > 0 {
			return os.ErrExist
		}
		return nil
	})
}
