package main

import (
	"context"

	"intray/cmd/internal/cli"
)

type replayStatusCommand struct {
	cli.OwnerFlags
	replayName
	JSON bool `help:"One JSON object."`
}

// Help says what the exit status means.
func (replayStatusCommand) Help() string { return eventsHelp }

// Run shows one.
func (c replayStatusCommand) Run(ctx context.Context) error {
	db, err := c.OpenOwner(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	r, err := db.Replay(ctx, c.Name)
	if err != nil {
		return err
	}
	return showReplay(r, c.JSON)
}
