package main

import (
	"encoding/json"
	"errors"
	"time"

	"intray/cmd/internal/cli"
	"intray/infra/postgres"
	"intray/ops/deadletters"
)

type lettersCommand struct {
	List  deadLettersListCommand  `cmd:"" help:"List them, the newest first."`
	Show  deadLettersShowCommand  `cmd:"" help:"Show one with its headers and data."`
	Retry deadLettersRetryCommand `cmd:"" help:"Give them another try: publish their messages again."`
	Drop  deadLettersDropCommand  `cmd:"" help:"Forget them."`
}

const deadLettersHelp = `A dead letter is a message that a consumer gave up: it can never be handled, or it failed in
every try. docs/deadletters.md says more.

Exit status: 0 done, 1 something failed or is not there, 2 wrong usage, 3 out of reach.`

// letterFilter chooses dead letters by what they are.
type letterFilter struct {
	Consumer string `help:"Only those of this consumer: confirm, remove or classify."`
	Since    moment `placeholder:"WHEN" help:"Only those given up since then: how long ago (24h), a date, or a time (RFC 3339)."`
	Until    moment `placeholder:"WHEN" help:"Only those given up until then."`
	Reason   string `placeholder:"TEXT" help:"Only those whose reason has this text in it, ignoring case."`
}

// filter returns what the flags choose.
func (f letterFilter) filter() (postgres.DeadLetterFilter, error) {
	if err := deadletters.ValidConsumer(f.Consumer); err != nil {
		return postgres.DeadLetterFilter{}, cli.Usage(err)
	}
	if !f.Until.IsZero() && f.Until.Before(f.Since.Time) {
		return postgres.DeadLetterFilter{}, cli.Usage(errors.New("the window ends before it begins"))
	}
	return postgres.DeadLetterFilter{
		Consumer: f.Consumer, Since: f.Since.Time, Until: f.Until.Time, Reason: f.Reason,
	}, nil
}

// letterChoice says which dead letters a command changes: by id, by what they are, or
// all.
type letterChoice struct {
	letterFilter
	IDs []int64 `arg:"" optional:"" name:"id" help:"The ids that list shows."`
	All bool    `help:"All of them."`
}

// choice returns the filter.
func (c letterChoice) choice() (f postgres.DeadLetterFilter, err error) {
	if f, err = c.filter(); err != nil {
		return f, err
	}
	filtered := f.Consumer != "" || f.Reason != "" || !f.Since.IsZero() || !f.Until.IsZero()
	switch {
	case len(c.IDs) > 0 && (filtered || c.All):
		return f, cli.Usage(errors.New("give ids, or say which by filters or --all, not both"))
	case len(c.IDs) == 0 && !filtered && !c.All:
		return f, cli.Usage(errors.New("say which: ids, --consumer, --since, --until, --reason or --all"))
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
	// Data is the message if it is JSON, Base64 whatever it is.
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
