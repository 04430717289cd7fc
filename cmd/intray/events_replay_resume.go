package main

import (
	"context"

	"intray/cmd/internal/cli"
	"intray/ops/replay"
)

type replayResumeCommand struct {
	cli.OperatorFlags
	replayName
	replayRunFlags
}

// Help says where a replay goes on.
func (replayResumeCommand) Help() string {
	return "It goes on after the last event that was published, at the rate it was started with." +
		"\n\n" + eventsHelp
}

// Run resumes one.
func (c replayResumeCommand) Run(ctx context.Context) error {
	return withArchive(ctx, c.OperatorFlags, false, func(a replay.Archive) error {
		if _, err := a.DB.Replay(ctx, c.Name); err != nil {
			return err
		}
		return c.run(ctx, a, c.Name)
	})
}
