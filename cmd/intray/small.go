package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"intray/cmd/internal/cli"
	"intray/infra/local"
)

type natsServerCommand struct {
	Config string `required:"" type:"existingfile" help:"The server's configuration file."`
}

// Run serves until ctx ends.
func (c natsServerCommand) Run(ctx context.Context) error {
	return local.RunNATS(ctx, c.Config)
}

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

type healthCommand struct {
	URL string `arg:"" name:"url" help:"The address to ask."`
}

// Run asks once.
func (c healthCommand) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return cli.Healthy(ctx, c.URL)
}
