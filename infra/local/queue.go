package local

import (
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"intray/infra/minio/eventqueue"
)

// Queue counts the events in MinIO's queue.
type Queue struct {
	Files    int       // events that are not yet sent to NATS
	Oldest   time.Time // time of the oldest of them; zero if there are none
	SetAside int       // damaged events that eventqueue.Check moved out of the queue
}

// CountQueue counts the events in MinIO's queue in a data folder. MinIO may be running: an event
// that it sends in the meantime is not counted.
func CountQueue(dir string) (q Queue, err error) {
	eachFile := func(folder string, do func(fs.FileInfo)) error {
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
	err = eachFile(queue, func(info fs.FileInfo) {
		q.Files++
		if at := info.ModTime(); q.Oldest.IsZero() || at.Before(q.Oldest) {
			q.Oldest = at
		}
	})
	return q, errors.Join(err, eachFile(eventqueue.BadDir(queue), func(fs.FileInfo) { q.SetAside++ }))
}
