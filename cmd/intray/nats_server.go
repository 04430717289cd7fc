package main

import (
	"context"

	"intray/infra/local"
)

type natsServerCommand struct {
	Config string `required:"" type:"existingfile" help:"Configuration file of the server."`
}

// Run runs the server until ctx is canceled.
func (c natsServerCommand) Run(ctx context.Context) error {
	return local.RunNATS(ctx, c.Config)
}
