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
	watchInterval = 200 * time.Millisecond
	unused        = time.Minute // after which the servers are ended though the run goes on
)

// keep runs the servers in the folder of a run until the process that began the run is gone
// or nobody has used them for a while.
func keep(ctx context.Context, folder string) error {
	sweepOld()
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
	if err := announce(folder, s); err != nil {
		return err
	}
	last, parent := time.Now(), folderParent(folder)
	for {
		select {
		case <-ctx.Done():
		case <-time.After(watchInterval):
			parentGone := !parent.Alive()
			used, err := inUseNow(folder, parentGone || time.Since(last) > unused)
			if err != nil {
				return err
			}
			if used {
				last = time.Now()
			}
			if used || (!parentGone && time.Since(last) <= unused) {
				continue
			}
			if parentGone {
				// Nobody can come any more.
				defer func() { _ = os.RemoveAll(folder) }()
			}
		}
		return nil
	}
}

func start(ctx context.Context, data string) (*local.Servers, error) {
	return local.Start(ctx, local.Config{
		Dir:      data,
		CacheDir: local.DefaultCacheDir(os.Geteuid(), os.Getenv("XDG_CACHE_HOME"), os.Getenv("HOME")),
		PGBin:    os.Getenv("PG_BIN"),
		MinIOBin: os.Getenv("MINIO_BIN"),
		// The test binary's file may be gone when NATS must be started again; this name stays.
		Executable:  "/proc/self/exe",
		NATSCommand: []string{"/proc/self/exe"},
		NATSEnv:     []string{roleVariable + "=nats"},
		Environ:     os.Environ(),
		Volatile:    true,
		Out:         os.Stderr,
	})
}

func announce(folder string, s *local.Servers) error {
	user, password := s.MinIORoot()
	passwords := map[string]string{}
	for _, u := range []string{local.NATSMinIO, local.NATSAPI, local.NATSWorker, local.NATSOperator} {
		passwords[u] = s.NATSPassword(u)
	}
	text, err := json.Marshal(servers{
		PID: os.Getpid(), SuperuserURL: s.PostgresSuperuserURL(), OwnerURL: s.PostgresURL(),
		NATSURL: s.NATSURL(), NATSPasswords: passwords,
		MinIO: s.MinIOEndpoint(), MinIOUser: user, MinIOPassword: password,
	})
	if err != nil {
		return err
	}
	unfinished := filepath.Join(folder, serversFile+".new")
	if err := os.WriteFile(unfinished, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(unfinished, filepath.Join(folder, serversFile))
}

// inUseNow reports whether a test process uses the servers or is about to. If none does and
// last is set, it also takes servers.json away, so that whoever comes now starts servers of
// its own.
func inUseNow(folder string, last bool) (bool, error) {
	starting, free, err := tryLock(filepath.Join(folder, "starting"))
	if err != nil || !free {
		return true, err
	}
	defer func() { _ = starting.Close() }()
	using, free, err := tryLock(filepath.Join(folder, "in-use"))
	if err != nil || !free {
		return true, err
	}
	defer func() { _ = using.Close() }()
	if last {
		return false, os.Remove(filepath.Join(folder, serversFile))
	}
	return false, nil
}

func tryLock(path string) (f *os.File, free bool, err error) {
	f, err = lock(path, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, false, nil
	}
	return f, err == nil, err
}

// folderParent returns the process that the folder is named after.
func folderParent(folder string) Process {
	var p Process
	parts := strings.Split(filepath.Base(folder), "-")
	if len(parts) == 5 {
		_, _ = fmt.Sscan(parts[3], &p.PID)
		p.start = parts[4]
	}
	return p
}

// sweepOld removes the folders of runs that are over and whose keeper could not: it was killed.
func sweepOld() {
	folders, _ := filepath.Glob(filepath.Join(os.TempDir(), fmt.Sprintf("intray-test-%d-*", os.Geteuid())))
	for _, folder := range folders {
		if folderParent(folder).Alive() {
			continue
		}
		if s, err := readServers(folder); err == nil && isAlive(s.PID) {
			continue // its keeper is about to
		}
		if used, err := inUseNow(folder, false); err == nil && !used {
			_ = os.RemoveAll(folder)
		}
	}
}
