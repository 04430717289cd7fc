package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// A fetcher finds the servers' programs, and gets those into the user's cache that are
// nowhere on the machine.
type fetcher struct {
	config Config
	out    *output
	spawn  *spawner
}

// run runs a program to its end, as a child that does not outlive the starter. When ctx
// ends, it and its own children are killed.
func (f *fetcher) run(ctx context.Context, cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGKILL
	if err := f.spawn.start(cmd); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer stop()
	err := cmd.Wait()
	return errors.Join(ctx.Err(), err)
}

// once calls get with a new folder in the cache, and keeps that folder under the name if
// get succeeds. Two starters get it once: the second waits for the first. It returns the
// kept folder's path.
func (f *fetcher) once(name string, get func(folder string) error) (string, error) {
	kept := filepath.Join(f.config.CacheDir, name)
	if _, err := os.Stat(kept); err == nil {
		return kept, nil
	}
	if err := os.MkdirAll(f.config.CacheDir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	lock, err := os.OpenFile(kept+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("lock the cache: %w", err)
	}
	defer func() { _ = lock.Close() }()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.out.say("waiting for another process that is getting %s", name)
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
			return "", fmt.Errorf("lock the cache: %w", err)
		}
	}
	if _, err := os.Stat(kept); err == nil {
		return kept, nil
	}
	unfinished := kept + ".new"
	if err := os.RemoveAll(unfinished); err != nil { // of one that was interrupted
		return "", fmt.Errorf("clear the cache: %w", err)
	}
	if err := os.Mkdir(unfinished, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	if err := get(unfinished); err != nil {
		_ = os.RemoveAll(unfinished)
		return "", err
	}
	if err := os.Rename(unfinished, kept); err != nil {
		return "", fmt.Errorf("keep %s: %w", name, err)
	}
	return kept, nil
}
