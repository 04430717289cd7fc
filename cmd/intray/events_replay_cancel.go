package main

import (
	"context"

	"intray/cmd/internal/cli"
	"intray/ops/replay"
)

type replayCancelCommand struct {
	cli.OperatorFlags
	replayName
}

// Help says what becomes of a canceled replay.
func (replayCancelCommand) Help() string {
	return "What it has not delivered yet never is. What it did stays done.\n\n" + eventsHelp
}

// Run cancels one.
func (c replayCancelCommand) Run(ctx context.Context) error {
	return withArchive(ctx, c.OperatorFlags, false, func(a replay.Archive) error {
		r, err := replay.Runner{Archive: a}.Cancel(ctx, c.Name)
		if err != nil {
			return err
		}
		return showReplay(r, false)
	})
}
