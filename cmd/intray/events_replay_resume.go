package main

import (
	"context"

	"intray/cmd/internal/cli"
	"intray/ops/replay"
)

type replayResumeCommand struct {
	cli.OperatorFlags
	cli.AuditFlags
	replayName
	replayRunFlags
}

// Help describes the effect.
func (replayResumeCommand) Help() string {
	return `The replay continues after the last event that it published, at the rate with which it was
started.

` + eventsHelp
}

// Run resumes the replay.
func (c replayResumeCommand) Run(ctx context.Context) error {
	return withArchive(ctx, c.OperatorFlags, c.AuditFlags, false, func(a replay.Archive) error {
		if _, err := a.DB.Replay(ctx, c.Name); err != nil {
			return err
		}
		return c.run(ctx, a, c.Name)
	})
}
