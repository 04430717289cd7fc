package main

import (
	"context"

	"intray/cmd/internal/cli"
	"intray/ops/replay"
)

type replayCancelCommand struct {
	cli.OperatorFlags
	cli.AuditFlags
	replayName
}

// Help describes the effect.
func (replayCancelCommand) Help() string {
	return `Events that the replay has not delivered yet are never delivered. Changes that it has
made remain.

` + eventsHelp
}

// Run cancels the replay.
func (c replayCancelCommand) Run(ctx context.Context) error {
	return withArchive(ctx, c.OperatorFlags, c.AuditFlags, false, func(a replay.Archive) error {
		r, err := replay.Runner{Archive: a}.Cancel(ctx, c.Name)
		if err != nil {
			return err
		}
		return showReplay(r, false)
	})
}
