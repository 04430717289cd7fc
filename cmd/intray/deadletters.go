package main

import (
	"encoding/json"
	"errors"
	"time"

	"intray/cmd/internal/cli"
	"intray/infra/postgres"
	"intray/ops/deadletters"
)

type deadLettersCommand struct {
	List  deadLettersListCommand  `cmd:"" help:"List dead letters, newest first."`
	Show  deadLettersShowCommand  `cmd:"" help:"Show one dead letter with its headers and data."`
	Retry deadLettersRetryCommand `cmd:"" help:"Publish the messages of dead letters again."`
	Drop  deadLettersDropCommand  `cmd:"" help:"Delete dead letters."`
}

const deadLettersHelp = `A dead letter is a message that a consumer could not handle: either it
can never be handled, or every attempt failed. See docs/deadletters.md.

` + exitStatusHelp

// letterFilter selects dead letters by their properties.
type letterFilter struct {
	Consumer string   `placeholder:"NAME" help:"Only dead letters of this consumer: confirm, remove or classify."`
	Since    timeFlag `placeholder:"TIME" help:"Only messages dead-lettered at or after this time: a duration before now (24h, 30d), a date or an RFC 3339 time."`
	Until    timeFlag `placeholder:"TIME" help:"Only messages dead-lettered at or before this time."`
	Reason   string   `placeholder:"TEXT" help:"Only dead letters whose reason contains this text, ignoring case."`
}

// filter returns the filter of the flags.
func (f letterFilter) filter() (postgres.DeadLetterFilter, error) {
	if err := deadletters.ValidConsumer(f.Consumer); err != nil {
		return postgres.DeadLetterFilter{}, cli.Usage(err)
	}
	if !f.Until.IsZero() && f.Until.Before(f.Since.Time) {
		return postgres.DeadLetterFilter{}, cli.Usage(errors.New("--until is before --since"))
	}
	return postgres.DeadLetterFilter{
		Consumer: f.Consumer, Since: f.Since.Time, Until: f.Until.Time, Reason: f.Reason,
	}, nil
}

// letterAudit names who changes dead letters, and why. It is like cli.AuditFlags, but --reason
// selects dead letters.
type letterAudit struct {
	Actor       string `placeholder:"NAME" help:"Who makes the change, for the audit trail. Default: USER@HOST."`
	AuditReason string `placeholder:"TEXT" help:"Reason for the change, for the audit trail."`
}

func (a letterAudit) flags() cli.AuditFlags {
	return cli.AuditFlags{Actor: a.Actor, Reason: a.AuditReason}
}

// details returns what the audit trail records about a change of count selected dead letters.
func (c letterSelection) details(count int64) map[string]any {
	details := map[string]any{"count": count}
	if len(c.IDs) > 0 {
		details["ids"] = c.IDs[:min(len(c.IDs), 50)]
	}
	for name, value := range map[string]string{"consumer": c.Consumer, "with_reason": c.Reason} {
		if value != "" {
			details[name] = cli.Shorten(value, 100)
		}
	}
	for name, t := range map[string]timeFlag{"since": c.Since, "until": c.Until} {
		if !t.IsZero() {
			details[name] = t.UTC().Format(time.RFC3339)
		}
	}
	return details
}

// letterSelection selects the dead letters that a command changes: by id, by their properties,
// or all.
type letterSelection struct {
	letterFilter
	IDs []int64 `arg:"" optional:"" name:"id" help:"Ids of dead letters, as \"list\" shows them."`
	All bool    `help:"Select all dead letters."`
}

// selection returns the filter of the flags and arguments. It fails if they select nothing or
// contradict each other.
func (c letterSelection) selection() (f postgres.DeadLetterFilter, err error) {
	if f, err = c.filter(); err != nil {
		return f, err
	}
	filtered := f.Consumer != "" || f.Reason != "" || !f.Since.IsZero() || !f.Until.IsZero()
	switch {
	case len(c.IDs) > 0 && (filtered || c.All):
		return f, cli.Usage(errors.New("ids cannot be combined with --all or a filter"))
	case len(c.IDs) == 0 && !filtered && !c.All:
		return f, cli.Usage(errors.New("select dead letters by id, or with " +
			"--consumer, --since, --until, --reason or --all"))
	}
	f.IDs = c.IDs
	return f, nil
}

// letterJSON is a dead letter as --json prints it.
type letterJSON struct {
	ID       int64               `json:"id"`
	Stream   string              `json:"stream"`
	Sequence uint64              `json:"sequence"`
	Consumer string              `json:"consumer"`
	Subject  string              `json:"subject"`
	Reason   string              `json:"reason"`
	Attempts int                 `json:"attempts"`
	FirstAt  time.Time           `json:"first_at"`
	DeadAt   time.Time           `json:"dead_at"`
	Headers  map[string][]string `json:"headers,omitempty"`
	// Data is the data of the message if it is JSON. Base64 is always set.
	Data   json.RawMessage `json:"data,omitempty"`
	Base64 []byte          `json:"data_base64,omitempty"`
}

// letterAsJSON returns a dead letter without its headers and data.
func letterAsJSON(l postgres.DeadLetter) letterJSON {
	return letterJSON{
		ID: l.ID, Stream: l.Stream, Sequence: l.Sequence, Consumer: l.Consumer, Subject: l.Subject,
		Reason: l.Reason, Attempts: l.Attempts, FirstAt: l.FirstAt.UTC(), DeadAt: l.DeadAt.UTC(),
	}
}
