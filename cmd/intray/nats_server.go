package main

import (
	"context"

	"intray/infra/local"
)

type natsServerCommand struct {
	Config string `required:"" type:"existingfile" help:"The server's configuration file."`
}

// Run serves until ctx ends.
func (c natsServerCommand) Run(ctx context.Context) error {
	return local.RunNATS(ctx, c.Config)
}
