// Package eventqueue reads the folder in which MinIO queues events for NATS
// (MINIO_NOTIFY_NATS_QUEUE_DIR). It uses only the standard library, so that MinIO's container image
// does not change with the rest of Intray.
package eventqueue

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
)

// A Damaged event is an event file that [Check] moved out of MinIO's queue.
type Damaged struct {
	Path   string // new path of the file
	Reason error  // why MinIO cannot send it
}

// Check checks the event files in dir. It moves every file that MinIO cannot send to a folder next
// to it ([BadDir]). It deletes nothing. No document is lost with the event, because reconciliation
// finds the object. A missing folder is treated as an empty one, and a file that vanishes meanwhile
// is ignored.
//
// MinIO must not be running, because a file that it is writing looks damaged. MinIO writes the
// files without fsync, so a crash of the machine can leave truncated files, empty files and files
// of NUL bytes. MinIO retries a truncated file forever and sends nothing else to that target. A
// file of NUL bytes makes MinIO panic at every start (in internal/store, Get takes items[0] of an
// empty slice). An empty file stays forever.
func Check(dir string) ([]Damaged, error) {
	var damaged []Damaged
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			var found *Damaged
			if found, err = checkFile(dir, path); found != nil {
				damaged = append(damaged, *found)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return damaged, fmt.Errorf("check MinIO's event queue: %w", err)
	}
	return damaged, nil
}

// BadDir returns the folder that damaged events of a queue are moved to: the queue's name with -bad
// appended.
func BadDir(queue string) string { return filepath.Clean(queue) + "-bad" }

// checkFile moves the file out of the queue dir if MinIO cannot send it, and returns nil if it can.
func checkFile(dir, path string) (*Damaged, error) {
	reason, err := checkEventFile(path)
	if err != nil || reason == nil {
		return nil, err
	}
	moved, err := moveEvent(dir, path, BadDir(dir))
	if err != nil {
		return nil, err
	}
	return &Damaged{moved, reason}, nil
}

// moveEvent moves a file of the queue dir to the same relative path in badDir and returns its new
// path. It never replaces a file: if the path is taken, it appends a number.
func moveEvent(dir, path, badDir string) (string, error) {
	relative, err := filepath.Rel(dir, path)
	if err != nil {
		return "", err
	}
	to := filepath.Join(badDir, relative)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return "", err
	}
	for i := 1; ; i++ {
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			return to, os.Rename(path, to)
		}
		to = fmt.Sprintf("%s.%d", filepath.Join(badDir, relative), i)
	}
}

// maxEventSize is the size, in bytes, above which a file cannot be an event. An event is much
// smaller: object keys have at most 1,024 bytes and user metadata at most 2 KiB.
const maxEventSize = 1 << 20

// checkEventFile returns the reason why MinIO cannot send the file, or nil if MinIO can send it.
// err is set if the file cannot be read.
func checkEventFile(path string) (reason, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file"), nil
	}
	if filepath.Ext(path) != ".event" {
		return errors.New("the name does not end in .event"), nil
	}
	if info.Size() > maxEventSize {
		return fmt.Errorf("the file has %d bytes, which is too large for an event", info.Size()), nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return checkEvent(text), nil
}

// queuedEvent has all fields of MinIO's internal/event.Event with their types, because MinIO fails
// to decode a field of a different type.
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

// checkEvent returns the reason why MinIO cannot send an event file with this content, or nil if
// MinIO can send it.
func checkEvent(text []byte) error {
	switch {
	case len(text) == 0:
		return errors.New("the file is empty")
	case bytes.IndexByte(text, 0) >= 0:
		return errors.New("the file contains NUL bytes")
	}
	var e queuedEvent
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&e); err != nil {
		return fmt.Errorf("decode the event: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the file contains more than one event")
	}
	if !strings.HasPrefix(e.EventName, "s3:") {
		return fmt.Errorf("the event name is not valid: %.40q", e.EventName)
	}
	if e.S3.Object.Key == "" {
		return errors.New("the event has no object key")
	}
	if _, err := url.QueryUnescape(e.S3.Object.Key); err != nil {
		return fmt.Errorf("decode the object key: %w", err)
	}
	return nil
}
