package main

import (
	"context"

	"intray/cmd/internal/cli"
)

type replayStatusCommand struct {
	cli.OwnerFlags
	replayName
	JSON bool `help:"Print one JSON object."`
}

// Help describes events and the exit status.
func (replayStatusCommand) Help() string { return eventsHelp }

// Run shows the replay.
func (c replayStatusCommand) Run(ctx context.Context) error {
	db, err := c.OpenOwner()
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
