package local

import (
	"errors"
	"io/fs"
	"path/filepath"
	"time"
)

// KeptPort returns the port that a data folder keeps for the part of that name, 0 if it
// keeps none.
func KeptPort(dir, name string) (int, error) {
	s, err := loadState(dir)
	if err != nil {
		return 0, err
	}
	return s.Ports[name], nil
}

// Queue says what MinIO has still to tell NATS.
type Queue struct {
	Files  int
	Oldest time.Time // zero where there is none
	// Aside are those that CheckQueue moved away, for MinIO could not have sent them.
	Aside int
}

// LookAtQueue counts the events in MinIO's queue in a data folder. It may run while MinIO
// does: a file that goes meanwhile is not counted.
func LookAtQueue(dir string) (q Queue, err error) {
	each := func(folder string, do func(fs.FileInfo)) error {
		return filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				var info fs.FileInfo
				if info, err = entry.Info(); err == nil {
					do(info)
				}
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
	}
	queue := filepath.Join(dir, "minio", "queue")
	err = each(queue, func(info fs.FileInfo) {
		q.Files++
		if at := info.ModTime(); q.Oldest.IsZero() || at.Before(q.Oldest) {
			q.Oldest = at
		}
	})
	return q, errors.Join(err, each(queue+"-bad", func(fs.FileInfo) { q.Aside++ }))
}
