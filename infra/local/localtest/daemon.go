package localtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"intray/infra/local"
)

const (
	checkInterval = 200 * time.Millisecond
	// idleTimeout is the time without a test process after which the daemon ends the servers.
	idleTimeout = time.Minute
)

// runDaemon runs the servers of the test run in folder. It ends them when ctx is done, when the
// process that started the test run has ended and no test process uses them, or when no test
// process has used them for idleTimeout.
func runDaemon(ctx context.Context, folder string) error {
	removeOldFolders()
	data, err := os.MkdirTemp(folder, "data-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(data) }()
	s, err := start(ctx, data)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := writeServers(folder, data, s); err != nil {
		return err
	}
	lastUse, parent := time.Now(), folderParent(folder)
	for {
		select {
		case <-ctx.Done():
		case <-time.After(checkInterval):
			parentEnded := !parent.Alive()
			idle := time.Since(lastUse) > idleTimeout
			used, err := serversInUse(folder, parentEnded || idle)
			if err != nil {
				return err
			}
			if used {
				lastUse = time.Now()
				continue
			}
			if !parentEnded && !idle {
				continue
			}
			if parentEnded {
				// The run is over, so no other process needs the folder.
				defer func() { _ = os.RemoveAll(folder) }()
			}
		}
		return nil
	}
}

func start(ctx context.Context, data string) (*local.Servers, error) {
	cache := local.DefaultCacheDir(os.Geteuid(), os.Getenv("XDG_CACHE_HOME"), os.Getenv("HOME"))
	return local.Start(ctx, local.Config{
		Dir:      data,
		CacheDir: cache,
		PGBin:    os.Getenv("PG_BIN"),
		MinIOBin: os.Getenv("MINIO_BIN"),
		// go test may delete the test binary before NATS has to be restarted. /proc/self/exe still
		// refers to it.
		Executable:  "/proc/self/exe",
		NATSCommand: []string{"/proc/self/exe"},
		NATSEnv:     []string{roleVariable + "=" + roleNATS},
		Environ:     os.Environ(),
		Volatile:    true,
		Out:         os.Stderr,
	})
}

// writeServers writes servers.json, from which the test processes read how to reach the servers.
// data is the servers' folder.
func writeServers(folder, data string, s *local.Servers) error {
	user, password := s.MinIORoot()
	passwords := map[string]string{}
	for _, u := range []string{
		local.NATSMinIO, local.NATSAPI, local.NATSWorker, local.NATSOperator,
	} {
		passwords[u] = s.NATSPassword(u)
	}
	text, err := json.Marshal(servers{
		PID: os.Getpid(), SuperuserURL: s.PostgresSuperuserURL(), OwnerURL: s.PlainPostgresURL(),
		NATSURL: s.NATSURL(), NATSPasswords: passwords,
		MinIO: s.MinIOEndpoint(), MinIODrive: MinIODrive(data), MinIOUser: user, MinIOPassword: password,
	})
	if err != nil {
		return err
	}
	partial := filepath.Join(folder, serversFile+".new")
	if err := os.WriteFile(partial, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(partial, filepath.Join(folder, serversFile))
}

// serversInUse reports whether a test process uses the servers or is joining the test run. If none
// does and remove is set, it also deletes servers.json while it holds both locks, so that a process
// that joins afterwards starts a new daemon.
func serversInUse(folder string, remove bool) (bool, error) {
	starting, locked, err := tryLock(filepath.Join(folder, startingFile))
	if err != nil || !locked {
		return true, err
	}
	defer func() { _ = starting.Close() }()
	using, locked, err := tryLock(filepath.Join(folder, inUseFile))
	if err != nil || !locked {
		return true, err
	}
	defer func() { _ = using.Close() }()
	if remove {
		return false, os.Remove(filepath.Join(folder, serversFile))
	}
	return false, nil
}

// tryLock locks the file exclusively without waiting. It reports whether it got the lock.
func tryLock(path string) (f *os.File, locked bool, err error) {
	f, err = lock(path, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, false, nil
	}
	return f, err == nil, err
}

// folderParent returns the process after which the folder of a test run is named; see runFolder.
func folderParent(folder string) Process {
	var p Process
	parts := strings.Split(filepath.Base(folder), "-")
	if len(parts) == 5 {
		_, _ = fmt.Sscan(parts[3], &p.PID)
		p.start = parts[4]
	}
	return p
}

// removeOldFolders removes the folders of test runs that are over and whose daemon was killed
// before it could remove them.
func removeOldFolders() {
	pattern := fmt.Sprintf("intray-test-%d-*", os.Geteuid())
	folders, _ := filepath.Glob(filepath.Join(os.TempDir(), pattern))
	for _, folder := range folders {
		if folderParent(folder).Alive() {
			continue
		}
		if s, err := readServers(folder); err == nil && isAlive(s.PID) {
			continue // the folder's daemon removes it
		}
		if used, err := serversInUse(folder, false); err == nil && !used {
			_ = os.RemoveAll(folder)
		}
	}
}
