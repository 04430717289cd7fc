package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A DamagedEvent is an event file that [CheckQueue] set aside.
type DamagedEvent struct {
	Path   string // where it lies now
	Reason error  // why MinIO could not have sent it
}

// CheckQueue looks at the folder in which MinIO queues events for NATS
// (MINIO_NOTIFY_NATS_QUEUE_DIR) and moves every file that MinIO could not send to the
// folder of the same name with -bad appended, beside it. Nothing is deleted, and what is
// set aside is only a hint lost: reconciliation finds the objects. A folder that is not
// there is an empty one.
//
// It must run while MinIO does not. MinIO writes these files without fsync, so a crash of
// the machine leaves torn, empty or NUL-filled ones; a torn one makes MinIO's target retry
// it for ever and send nothing else, a NUL-filled one ends MinIO at every start (a panic in
// internal/store: Get takes items[0] of none), an empty one stays for ever.
func CheckQueue(dir string) ([]DamagedEvent, error) {
	var bad []DamagedEvent
	aside := filepath.Clean(dir) + "-bad"
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			if path == dir && errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if entry.IsDir() {
			return nil
		}
		reason, err := checkEventFile(path)
		if err != nil || reason == nil {
			return err
		}
		moved, err := setAside(dir, path, aside)
		if err == nil {
			bad = append(bad, DamagedEvent{moved, reason})
		}
		return err
	})
	if err != nil {
		return bad, fmt.Errorf("check MinIO's event queue: %w", err)
	}
	return bad, nil
}

// setAside moves the file below the folder aside, never onto one that is already there.
func setAside(dir, path, aside string) (string, error) {
	below, err := filepath.Rel(dir, path)
	if err != nil {
		return "", err
	}
	to := filepath.Join(aside, below)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return "", err
	}
	for i := 1; ; i++ {
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			return to, os.Rename(path, to)
		}
		to = fmt.Sprintf("%s.%d", filepath.Join(aside, below), i)
	}
}

// Queue counts the events in MinIO's queue.
type Queue struct {
	Files    int       // not yet sent to NATS
	Oldest   time.Time // zero where there is none
	SetAside int       // moved away by CheckQueue, because MinIO could not have sent them
}

// CountQueue counts the events in MinIO's queue in a data folder. It may run while MinIO
// does; an event that is sent meanwhile is not counted.
func CountQueue(dir string) (q Queue, err error) {
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
	return q, errors.Join(err, each(queue+"-bad", func(fs.FileInfo) { q.SetAside++ }))
}

// maxEvent bounds what is read of one event file, in bytes. Keys have at most 1,024 and
// user metadata at most 2 KiB.
const maxEvent = 1 << 20

// checkEventFile returns why MinIO could not send the file; err is set if it could not be
// looked at.
func checkEventFile(path string) (reason, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file"), nil
	}
	if filepath.Ext(path) != ".event" {
		return errors.New("not a name of MinIO's NATS target"), nil
	}
	if info.Size() > maxEvent {
		return fmt.Errorf("%d bytes, more than an event has", info.Size()), nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return checkEvent(text), nil
}

// queuedEvent has the fields of MinIO's internal/event.Event with their types, for one of
// another type fails there.
type queuedEvent struct {
	EventVersion      string            `json:"eventVersion"`
	EventSource       string            `json:"eventSource"`
	AwsRegion         string            `json:"awsRegion"`
	EventTime         string            `json:"eventTime"`
	EventName         string            `json:"eventName"`
	UserIdentity      identity          `json:"userIdentity"`
	RequestParameters map[string]string `json:"requestParameters"`
	ResponseElements  map[string]string `json:"responseElements"`
	S3                struct {
		SchemaVersion   string `json:"s3SchemaVersion"`
		ConfigurationID string `json:"configurationId"`
		Bucket          struct {
			Name          string   `json:"name"`
			OwnerIdentity identity `json:"ownerIdentity"`
			ARN           string   `json:"arn"`
		} `json:"bucket"`
		Object struct {
			Key          string            `json:"key"`
			Size         int64             `json:"size"`
			ETag         string            `json:"eTag"`
			ContentType  string            `json:"contentType"`
			UserMetadata map[string]string `json:"userMetadata"`
			VersionID    string            `json:"versionId"`
			Sequencer    string            `json:"sequencer"`
		} `json:"object"`
	} `json:"s3"`
	Source struct {
		Host      string `json:"host"`
		Port      string `json:"port"`
		UserAgent string `json:"userAgent"`
	} `json:"source"`
}

type identity struct {
	PrincipalID string `json:"principalId"`
}

// checkEvent returns why MinIO could not send an event file of this content, or nil.
func checkEvent(text []byte) error {
	switch {
	case len(text) == 0:
		return errors.New("empty")
	case bytes.IndexByte(text, 0) >= 0:
		return errors.New("holds NUL bytes")
	}
	var e queuedEvent
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&e); err != nil {
		return fmt.Errorf("not an event: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one event")
	}
	if !strings.HasPrefix(e.EventName, "s3:") {
		return fmt.Errorf("no event name: %.40q", e.EventName)
	}
	if e.S3.Object.Key == "" {
		return errors.New("no object key")
	}
	if _, err := url.QueryUnescape(e.S3.Object.Key); err != nil {
		return fmt.Errorf("object key: %w", err)
	}
	return nil
}
