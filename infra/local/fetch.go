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

// A fetcher finds the servers' programs. It downloads or builds those that are not on the machine
// and keeps them in the user's cache folder.
type fetcher struct {
	config Config
	out    *output
	spawn  *spawner
}

// run runs a program until it exits. The kernel kills the program when the calling process dies.
// When ctx is canceled, run kills the program and its process group.
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

// fetchOnce returns the path of the named folder in the cache. If the folder does not exist,
// fetchOnce calls fetch with a new, empty folder and renames it to name if fetch succeeds. When
// several processes need the same folder, one of them calls fetch and the others wait for it.
func (f *fetcher) fetchOnce(name string, fetch func(folder string) error) (string, error) {
	cached := filepath.Join(f.config.CacheDir, name)
	if _, err := os.Stat(cached); err == nil {
		return cached, nil
	}
	if err := os.MkdirAll(f.config.CacheDir, 0o755); err != nil {
		return "", fmt.Errorf("create the cache folder: %w", err)
	}
	lock, err := os.OpenFile(cached+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("lock the cache: %w", err)
	}
	defer func() { _ = lock.Close() }()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.out.printf("waiting for another process that is downloading or building %s", name)
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
			return "", fmt.Errorf("lock the cache: %w", err)
		}
	}
	if _, err := os.Stat(cached); err == nil {
		return cached, nil
	}
	partial := cached + ".new"
	if err := os.RemoveAll(partial); err != nil { // an interrupted process may have left it
		return "", fmt.Errorf("clear the cache: %w", err)
	}
	if err := os.Mkdir(partial, 0o755); err != nil {
		return "", fmt.Errorf("create the cache folder: %w", err)
	}
	if err := fetch(partial); err != nil {
		_ = os.RemoveAll(partial)
		return "", err
	}
	if err := os.Rename(partial, cached); err != nil {
		return "", fmt.Errorf("add %s to the cache: %w", name, err)
	}
	return cached, nil
}
