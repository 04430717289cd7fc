package localtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// servers is the content of servers.json (mode 0600), which the daemon writes for the test
// processes.
type servers struct {
	PID           int               `json:"pid"` // of the daemon
	SuperuserURL  string            `json:"superuser_url"`
	OwnerURL      string            `json:"owner_url"`
	NATSURL       string            `json:"nats_url"`
	NATSPasswords map[string]string `json:"nats_passwords"` // by user
	MinIO         string            `json:"minio"`          // host:port
	MinIODrive    string            `json:"minio_drive"`    // the folder that is MinIO's drive
	MinIOUser     string            `json:"minio_user"`
	MinIOPassword string            `json:"minio_password"`
}

// startTimeout bounds the start of the servers. The first start on a machine may have to build
// MinIO.
const startTimeout = 20 * time.Minute

var shared struct {
	sync.Once
	servers servers
	err     error
}

// sharedServers returns the servers of this `go test` run. It starts them if no other process has.
func sharedServers(t testing.TB) servers {
	t.Helper()
	if !mainCalled {
		t.Fatal("localtest: TestMain must call localtest.Main or localtest.RunHelperProcess")
	}
	shared.Do(func() { shared.servers, shared.err = join() })
	if shared.err != nil {
		t.Fatalf("localtest: %v", shared.err)
	}
	return shared.servers
}

// inUse holds a shared lock on inUseFile while this process runs, because the process uses the
// servers.
var inUse *os.File //nolint:unused // the open file holds the lock

// join registers this process as a user of the servers and finds or starts the daemon.
func join() (servers, error) {
	folder, err := runFolder(os.Getppid())
	if err != nil {
		return servers{}, err
	}
	starting, err := lock(filepath.Join(folder, startingFile), unix.LOCK_EX)
	if err != nil {
		return servers{}, err
	}
	defer func() { _ = starting.Close() }()
	if inUse, err = lock(filepath.Join(folder, inUseFile), unix.LOCK_SH); err != nil {
		return servers{}, err
	}
	if s, err := readServers(folder); err == nil && isAlive(s.PID) {
		return s, nil
	}
	return startDaemon(folder)
}

// runFolder returns the folder of this run, which it creates if necessary. The folder is named
// after the id and the start time of the process that started the tests, because ids are reused.
func runFolder(parent int) (string, error) {
	p, _ := FindProcess(parent)
	name := fmt.Sprintf("intray-test-%d-%d-%s", os.Geteuid(), parent, p.start)
	folder := filepath.Join(os.TempDir(), name)
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	// The folder contains passwords, and another user of the machine could have created it first,
	// because its name is predictable.
	info, err := os.Lstat(folder)
	if err != nil {
		return "", err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	owned := ok && int(stat.Uid) == os.Geteuid()
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !owned {
		return "", fmt.Errorf("%s is not a folder with mode 0700 that belongs to this user: remove it",
			folder)
	}
	return folder, nil
}

// startDaemon starts the daemon and waits until it has started the servers.
func startDaemon(folder string) (servers, error) {
	_ = os.Remove(filepath.Join(folder, serversFile))
	logPath := filepath.Join(folder, "daemon.log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return servers{}, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"="+roleDaemon, folderVariable+"="+folder)
	cmd.Dir, cmd.Stdout, cmd.Stderr = folder, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // the daemon outlives this process
	if err := cmd.Start(); err != nil {
		return servers{}, fmt.Errorf("start the daemon: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	timeout := time.After(startTimeout)
	for {
		if s, err := readServers(folder); err == nil {
			return s, nil
		}
		select {
		case err := <-exited:
			text, _ := os.ReadFile(logPath)
			return servers{}, fmt.Errorf("start the servers: the daemon exited (%w):\n%s", err, text)
		case <-timeout:
			_ = cmd.Process.Signal(syscall.SIGTERM)
			return servers{}, fmt.Errorf("start the servers: not ready within %v; see %s",
				startTimeout, logPath)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Files in the folder of a run.
const (
	serversFile  = "servers.json"
	startingFile = "starting" // locked by the process that looks for or starts the daemon
	inUseFile    = "in-use"   // locked, shared, by every process that uses the servers
)

func readServers(folder string) (s servers, err error) {
	text, err := os.ReadFile(filepath.Join(folder, serversFile))
	if err != nil {
		return servers{}, err
	}
	return s, json.Unmarshal(text, &s)
}

// lock opens the file and locks it with flock(2) and the operation how. Closing the file releases
// the lock.
func lock(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// withTimeout returns a context for one operation of this package on the servers. It does not
// depend on the test's context, which is done when the test cleans up.
func withTimeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Minute)
}

func isAlive(pid int) bool {
	_, ok := FindProcess(pid)
	return ok
}
