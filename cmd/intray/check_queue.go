package main

import (
	"fmt"
	"os"

	"intray/infra/local"
)

type checkQueueCommand struct {
	Dir string `arg:"" help:"Folder of MinIO's event queue (MINIO_NOTIFY_NATS_QUEUE_DIR_...)."`
}

// Run moves damaged files out of the queue and prints their names.
func (c checkQueueCommand) Run() error {
	moved, err := local.CheckQueue(c.Dir)
	for _, m := range moved {
		fmt.Fprintln(os.Stderr, m)
	}
	return err
}
