package main

import (
	"fmt"
	"os"

	"intray/infra/local"
)

type checkQueueCommand struct {
	Dir string `arg:"" help:"MinIO's queue folder (MINIO_NOTIFY_NATS_QUEUE_DIR_...)."`
}

// Run moves damaged files aside and says which.
func (c checkQueueCommand) Run() error {
	moved, err := local.CheckQueue(c.Dir)
	for _, m := range moved {
		fmt.Fprintln(os.Stderr, m)
	}
	return err
}
