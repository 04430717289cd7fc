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

// DefaultDir returns the data folder that is used unless another is given:
// $XDG_DATA_HOME/intray, else ~/.local/share/intray, and for root /var/lib/intray.
func DefaultDir(uid int, xdgDataHome, home string) string {
	switch {
	case uid == 0:
		return "/var/lib/intray"
	case filepath.IsAbs(xdgDataHome): // the specification says to ignore relative ones
		return filepath.Join(xdgDataHome, "intray")
	default:
		return filepath.Join(home, ".local", "share", "intray")
	}
}

// DefaultCacheDir returns the folder for fetched and built programs that is used unless
// another is given: $XDG_CACHE_HOME/intray, else ~/.cache/intray, and for root
// /var/cache/intray, for PostgreSQL's user must get there and /root is closed to it.
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

// minFree is how many bytes must be free in the data folder at start: PostgreSQL's own
// files and write-ahead log (about 60 MB, up to 1 GB under load) and some uploads.
const minFree = 512 << 20

// checkSpace returns an error unless that many bytes are free where the folder lies.
func checkSpace(folder string, bytes uint64, what string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(folder, &fs); err != nil {
		return fmt.Errorf("look for space in %s: %w", folder, err)
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < bytes {
		return fmt.Errorf("not enough space in %s for %s: %d MiB are free and %d MiB needed", folder, what, free>>20, bytes>>20)
	}
	return nil
}

// A folderLock is an exclusive lock on a data folder. The kernel ends it with the process.
type folderLock struct{ file *os.File }

// ErrInUse says that another process runs its servers in the data folder.
var ErrInUse = errors.New("data folder in use")

// lockFolder takes the lock of the folder at once or fails with ErrInUse.
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
			return nil, fmt.Errorf("%w by process %s: %s; end that process or choose another folder",
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
