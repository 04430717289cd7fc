package main

import (
	"context"
	"fmt"

	"intray/cmd/internal/cli"
	"intray/infra/postgres"
)

type replayPauseCommand struct {
	cli.OwnerFlags
	cli.AuditFlags
	replayName
}

// Help describes the effect.
func (replayPauseCommand) Help() string {
	return `The command that runs the replay ends within about a second. Events that it has published
are still handled. "resume" continues the replay.

` + eventsHelp
}

// Run pauses the replay.
func (c replayPauseCommand) Run(ctx context.Context) error {
	db, err := c.OpenOwnerFor(c.AuditFlags)
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
		return fmt.Errorf("pause replay %s: it is %s", c.Name, r.Status)
	}
	fmt.Printf("Replay %s is paused.\n", c.Name)
	return nil
}
