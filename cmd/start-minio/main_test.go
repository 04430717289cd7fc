package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckQueues(t *testing.T) {
	root := t.TempDir()
	var environment []string
	for _, target := range []string{"CREATED", "REMOVED"} {
		queue := filepath.Join(root, target)
		if err := os.Mkdir(queue, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(queue, "1.event"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		environment = append(environment, "MINIO_NOTIFY_NATS_QUEUE_DIR_"+target+"="+queue)
	}
	environment = append(environment, environment[0], "MINIO_NOTIFY_NATS_QUEUE_DIR_NONE=",
		"MINIO_NOTIFY_NATS_SUBJECT_CREATED="+root)
	var log strings.Builder
	if err := checkQueues(environment, &log); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"CREATED", "REMOVED"} {
		moved := filepath.Join(root, target+"-bad", "1.event")
		if _, err := os.Stat(moved); err != nil {
			t.Errorf("%s: got error %v, want the empty event moved there", moved, err)
		}
		if n := strings.Count(log.String(), "moved a damaged event to "+moved); n != 1 {
			t.Errorf("got log\n%s\nwant one line with %s", log.String(), moved)
		}
	}
}
