package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// DefaultDir returns the data folder to use when none is configured: /var/lib/intray for root, and
// for other users $XDG_DATA_HOME/intray or, without that variable, ~/.local/share/intray.
func DefaultDir(uid int, xdgDataHome, home string) string {
	switch {
	case uid == 0:
		return "/var/lib/intray"
	case filepath.IsAbs(xdgDataHome): // the XDG specification ignores relative paths
		return filepath.Join(xdgDataHome, "intray")
	default:
		return filepath.Join(home, ".local", "share", "intray")
	}
}

// DefaultCacheDir returns the folder for downloaded and built programs to use when none is
// configured: $XDG_CACHE_HOME/intray or, without that variable, ~/.cache/intray. Root uses
// /var/cache/intray instead of the latter, because PostgreSQL's user must be able to read the
// folder and cannot access /root.
func DefaultCacheDir(uid int, xdgCacheHome, home string) string {
	switch {
	case filepath.IsAbs(xdgCacheHome):
		return filepath.Join(xdgCacheHome, "intray")
	case uid == 0:
		return "/var/cache/intray"
	default:
		return filepath.Join(home, ".cache", "intray")
	}
}

// minFreeSpace is the disk space that must be free in the data folder at start, in bytes. It is
// enough for PostgreSQL's files and write-ahead log, which take about 60 MB at first, and for a
// number of uploads. Under load the write-ahead log grows to up to 1 GB.
const minFreeSpace = 512 << 20

// checkSpace returns an error unless that many bytes are free on the folder's file system. The
// error message names the purpose for which the space is needed.
func checkSpace(folder string, bytes uint64, purpose string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(folder, &fs); err != nil {
		return fmt.Errorf("check the free space in %s: %w", folder, err)
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < bytes {
		return fmt.Errorf("not enough space in %s for %s: %d MiB are free and %d MiB are needed",
			folder, purpose, free>>20, bytes>>20)
	}
	return nil
}

// A folderLock is an exclusive lock on a data folder. The kernel releases it when the process ends.
type folderLock struct{ file *os.File }

// ErrInUse means that another process is running its servers in the data folder.
var ErrInUse = errors.New("data folder in use")

// lockFolder locks the data folder. If another process holds the lock, it returns ErrInUse without
// waiting.
func lockFolder(dir string) (*folderLock, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path)
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w by process %s: %s; stop that process or choose another folder",
				ErrInUse, strings.TrimSpace(string(holder)), dir)
		}
		return nil, fmt.Errorf("lock the data folder %s: %w", dir, err)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	return &folderLock{f}, nil
}

func (l *folderLock) release() { _ = l.file.Close() }
