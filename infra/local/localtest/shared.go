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

// servers is what the keeper tells the test processes, in servers.json (mode 0600).
type servers struct {
	PID           int               `json:"pid"` // of the keeper
	SuperuserURL  string            `json:"superuser_url"`
	OwnerURL      string            `json:"owner_url"`
	NATSURL       string            `json:"nats_url"`
	NATSPasswords map[string]string `json:"nats_passwords"` // by user
	MinIO         string            `json:"minio"`          // host:port
	MinIOUser     string            `json:"minio_user"`
	MinIOPassword string            `json:"minio_password"`
}

// startTimeout bounds the wait for the keeper. The first one on a machine may have to build MinIO.
const startTimeout = 20 * time.Minute

var shared struct {
	sync.Once
	servers servers
	err     error
}

// sharedServers returns the servers of this `go test` run and starts them if no other process has.
func sharedServers(t testing.TB) servers {
	t.Helper()
	if !roleSeen {
		t.Fatal("localtest: TestMain must call localtest.Main or localtest.RunHelperProcess")
	}
	shared.Do(func() { shared.servers, shared.err = join() })
	if shared.err != nil {
		t.Fatalf("localtest: %v", shared.err)
	}
	return shared.servers
}

// inUse is locked, shared, by every process that uses the servers, for as long as it lives.
var inUse *os.File //nolint:unused // it is what holds the lock

// join registers this process as a user of the servers and finds or starts the keeper.
func join() (servers, error) {
	folder, err := runFolder(os.Getppid())
	if err != nil {
		return servers{}, err
	}
	starting, err := lock(filepath.Join(folder, "starting"), unix.LOCK_EX)
	if err != nil {
		return servers{}, err
	}
	defer func() { _ = starting.Close() }()
	if inUse, err = lock(filepath.Join(folder, "in-use"), unix.LOCK_SH); err != nil {
		return servers{}, err
	}
	if s, err := readServers(folder); err == nil && isAlive(s.PID) {
		return s, nil
	}
	return startKeeper(folder)
}

// runFolder returns the folder of this run, named after the process that started the tests
// and when it began, so that no later process of the same id is taken for it.
func runFolder(parent int) (string, error) {
	p, _ := FindProcess(parent)
	folder := filepath.Join(os.TempDir(), fmt.Sprintf("intray-test-%d-%d-%s", os.Geteuid(), parent, p.start))
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	// The folder's name can be foreseen by other users of the machine, and it holds passwords.
	info, err := os.Lstat(folder)
	if err != nil {
		return "", err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || info.Mode().Perm() != 0o700 || !ok || int(stat.Uid) != os.Geteuid() {
		return "", fmt.Errorf("%s is not ours: remove it", folder)
	}
	return folder, nil
}

func startKeeper(folder string) (servers, error) {
	_ = os.Remove(filepath.Join(folder, serversFile))
	logPath := filepath.Join(folder, "keeper.log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return servers{}, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"=keeper", folderVariable+"="+folder)
	cmd.Dir, cmd.Stdout, cmd.Stderr = folder, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it outlives this process
	if err := cmd.Start(); err != nil {
		return servers{}, fmt.Errorf("start the keeper: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	timeout := time.After(startTimeout)
	for {
		if s, err := readServers(folder); err == nil {
			return s, nil
		}
		select {
		case err := <-ended:
			text, _ := os.ReadFile(logPath)
			return servers{}, fmt.Errorf("the servers did not start (%w):\n%s", err, text)
		case <-timeout:
			_ = cmd.Process.Signal(syscall.SIGTERM)
			return servers{}, fmt.Errorf("the servers did not start within %v, see %s", startTimeout, logPath)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

const serversFile = "servers.json"

func readServers(folder string) (s servers, err error) {
	text, err := os.ReadFile(filepath.Join(folder, serversFile))
	if err != nil {
		return servers{}, err
	}
	return s, json.Unmarshal(text, &s)
}

// lock opens the file and waits for a lock of it, which ends when the file is closed.
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

// timeout bounds what the harness itself asks of the servers for one test.
func timeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Minute)
}

func isAlive(pid int) bool {
	_, ok := FindProcess(pid)
	return ok
}
