package main

import (
	"context"
	"fmt"

	"intray/cmd/internal/cli"
	"intray/infra/postgres"
)

type replayPauseCommand struct {
	cli.OwnerFlags
	replayName
}

// Help says what becomes of a paused replay.
func (replayPauseCommand) Help() string {
	return "Its command ends within a second or so; what it has published is handled still." +
		" \"resume\" goes on.\n\n" + eventsHelp
}

// Run pauses one.
func (c replayPauseCommand) Run(ctx context.Context) error {
	db, err := c.OpenOwner(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	r, err := db.Replay(ctx, c.Name)
	if err != nil {
		return err
	}
	done, err := db.SetReplayStatus(ctx, c.Name, postgres.ReplayPaused)
	if err != nil {
		return err
	}
	if !done {
		return fmt.Errorf("replay %s is %s", c.Name, r.Status)
	}
	fmt.Printf("Replay %s is paused.\n", c.Name)
	return nil
}
