package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"intray/cmd/internal/cli"
	"intray/infra/postgres"
	"intray/schema"
)

type lettersCommand struct {
	List  deadLettersListCommand  `cmd:"" help:"List them, the newest first."`
	Show  deadLettersShowCommand  `cmd:"" help:"Show one with its headers and data."`
	Retry deadLettersRetryCommand `cmd:"" help:"Give them another try: publish their messages again."`
	Drop  deadLettersDropCommand  `cmd:"" help:"Forget them."`
}

const deadLettersHelp = `A dead letter is a message that a consumer gave up: it can never be handled, or it failed in
every try. docs/deadletters.md says more.

Exit status: 0 done, 1 something failed or is not there, 2 wrong usage, 3 out of reach.

Environment: DATABASE_URL (the owner's) and, for retry, NATS_URL and NATS_PASSWORD (the
operator's), unless a stack of "intray up" is meant.`

// letterFilter chooses dead letters by what they are.
type letterFilter struct {
	Consumer string `help:"Only those of this consumer: confirm, remove or classify."`
	Since    since  `placeholder:"WHEN" help:"Only those given up since then: how long ago (24h), a date, or a time (RFC 3339)."`
	Until    since  `placeholder:"WHEN" help:"Only those given up until then."`
	Reason   string `placeholder:"TEXT" help:"Only those whose reason has this text in it, ignoring case."`
}

// filter reads the flags. A consumer that there is not would choose nothing, as if
// all were well.
func (f letterFilter) filter() (postgres.DeadLetterFilter, error) {
	all := []string{schema.ConsumerConfirm, schema.ConsumerRemove, schema.ConsumerClassify}
	switch {
	case f.Consumer != "" && !slices.Contains(all, f.Consumer):
		return postgres.DeadLetterFilter{}, cli.Usage(fmt.Errorf("there is no consumer %q: choose %s", f.Consumer, strings.Join(all, ", ")))
	case !f.Until.IsZero() && f.Until.Before(f.Since.Time):
		return postgres.DeadLetterFilter{}, cli.Usage(errors.New("the window ends before it begins"))
	}
	return postgres.DeadLetterFilter{Consumer: f.Consumer, Since: f.Since.Time, Until: f.Until.Time, Reason: f.Reason}, nil
}

// since is a time, given as such or as how long ago.
type since struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *since) UnmarshalText(text []byte) error {
	if ago, err := time.ParseDuration(string(text)); err == nil && ago >= 0 {
		s.Time = time.Now().Add(-ago)
		return nil
	}
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			s.Time = time.Now().AddDate(0, 0, -int(n))
			return nil
		}
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, string(text)); err == nil {
			s.Time = t
			return nil
		}
	}
	return fmt.Errorf("%q is neither a duration (24h, 30d), nor a date, nor a time (2006-01-02T15:04:05Z)", text)
}

// letterChoice is which dead letters a command changes: by id, by what they are,
// or all.
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
	f.IDs = c.ids()
	return f, nil
}

// now bounds the filter to what it chooses now, and returns how many that are. What
// is given up later is not among them.
func now(ctx context.Context, db *postgres.DB, f *postgres.DeadLetterFilter) (n int64, err error) {
	n, f.Through, err = db.CountDeadLetters(ctx, *f)
	return n, err
}

// ids are the ids that were given, each once.
func (c letterChoice) ids() []int64 {
	ids := slices.Clone(c.IDs)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// missing is the error of ids that are not there, of which n are.
func (c letterChoice) missing(n int64) error {
	if lacking := int64(len(c.ids())) - n; lacking > 0 {
		return fmt.Errorf("%d of the ids are no dead letters (any more)", lacking)
	}
	return nil
}

// letterPage is how many are read at once.
const letterPage = 100

// eachLetter calls do with each that the filter chooses, in its order.
func eachLetter(ctx context.Context, db *postgres.DB, f postgres.DeadLetterFilter, do func(postgres.DeadLetter) error) error {
	left := f.Limit
	for {
		f.Limit = letterPage
		if left > 0 {
			f.Limit = min(left, letterPage)
		}
		letters, err := db.DeadLetters(ctx, f)
		if err != nil {
			return err
		}
		for _, l := range letters {
			if err := do(l); err != nil {
				return err
			}
		}
		if left > 0 {
			if left -= len(letters); left == 0 {
				return nil
			}
		}
		if len(letters) < f.Limit {
			return nil
		}
		last := letters[len(letters)-1].ID
		if !f.Newest {
			f.After = last
		} else if f.Through = last - 1; f.Through == 0 {
			return nil
		}
	}
}

type deadLettersListCommand struct {
	cli.OperatorFlags
	letterFilter
	Limit int  `help:"At most so many; default: 50 in the table, all of them with --json."`
	JSON  bool `help:"One JSON object a line."`
}

// Help says what a dead letter is and what is read from the environment.
func (deadLettersListCommand) Help() string { return deadLettersHelp }

// letterJSON is a dead letter as --json tells it.
type letterJSON struct {
	ID       int64               `json:"id"`
	Stream   string              `json:"stream"`
	Sequence uint64              `json:"sequence"`
	Consumer string              `json:"consumer"`
	Subject  string              `json:"subject"`
	Reason   string              `json:"reason"`
	Tries    int                 `json:"tries"`
	FirstAt  time.Time           `json:"first_at"`
	DeadAt   time.Time           `json:"dead_at"`
	Headers  map[string][]string `json:"headers,omitempty"`
	// Data is the message if it is JSON, Base64 whatever it is.
	Data   json.RawMessage `json:"data,omitempty"`
	Base64 []byte          `json:"data_base64,omitempty"`
}

func toJSON(l postgres.DeadLetter) letterJSON {
	return letterJSON{
		ID: l.ID, Stream: l.Stream, Sequence: l.Sequence, Consumer: l.Consumer, Subject: l.Subject,
		Reason: l.Reason, Tries: l.Attempts, FirstAt: l.FirstAt.UTC(), DeadAt: l.DeadAt.UTC(),
	}
}

// Run lists them.
func (c deadLettersListCommand) Run(ctx context.Context) error {
	if c.Limit < 0 {
		return cli.Usage(errors.New("--limit is not negative"))
	}
	f, err := c.filter()
	if err != nil {
		return err
	}
	db, err := c.OpenOwner(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	f.Newest, f.Limit = true, c.Limit
	if c.JSON {
		out := json.NewEncoder(os.Stdout)
		return eachLetter(ctx, db, f, func(l postgres.DeadLetter) error { return out.Encode(toJSON(l)) })
	}
	if f.Limit == 0 {
		f.Limit = 50
	}
	n, _, err := db.CountDeadLetters(ctx, f)
	if err != nil {
		return err
	}
	if n == 0 {
		fmt.Println("No dead letters.")
		return nil
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tCONSUMER\tSUBJECT\tTRIES\tGIVEN UP\tREASON")
	err = eachLetter(ctx, db, f, func(l postgres.DeadLetter) error {
		fmt.Fprintf(table, "%d\t%s\t%s\t%d\t%s\t%s\n", l.ID, l.Consumer, cli.Printable(l.Subject), l.Attempts,
			l.DeadAt.UTC().Format(time.RFC3339), cli.Shorten(l.Reason, 80))
		return nil
	})
	if err == nil {
		err = table.Flush()
	}
	if more := n - int64(f.Limit); err == nil && more > 0 {
		fmt.Printf("and %d more; --limit shows them\n", more)
	}
	return err
}

type deadLettersShowCommand struct {
	cli.OperatorFlags
	ID   int64 `arg:"" help:"The id that list shows."`
	JSON bool  `help:"One JSON object."`
}

// Help says what a dead letter is and what is read from the environment.
func (deadLettersShowCommand) Help() string { return deadLettersHelp }

// Run shows one.
func (c deadLettersShowCommand) Run(ctx context.Context) error {
	db, err := c.OpenOwner(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	l, err := db.DeadLetter(ctx, c.ID)
	if errors.Is(err, &schema.Error{Code: schema.CodeNotFound}) {
		return fmt.Errorf("there is no dead letter %d", c.ID)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		out := toJSON(l)
		out.Headers, out.Base64 = l.Headers, l.Data
		if json.Valid(l.Data) {
			out.Data = l.Data
		}
		return json.NewEncoder(os.Stdout).Encode(out)
	}
	return showLetter(os.Stdout, l)
}

func showLetter(w io.Writer, l postgres.DeadLetter) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "id\t%d\nconsumer\t%s\nmessage\t%d of stream %s\nsubject\t%s\ntries\t%d\nsent\t%s\ngiven up\t%s\nreason\t%s\n",
		l.ID, l.Consumer, l.Sequence, l.Stream, cli.Printable(l.Subject), l.Attempts,
		l.FirstAt.UTC().Format(time.RFC3339), l.DeadAt.UTC().Format(time.RFC3339), cli.Printable(l.Reason))
	for _, name := range slices.Sorted(maps.Keys(l.Headers)) {
		for _, value := range l.Headers[name] {
			fmt.Fprintf(table, "header\t%s: %s\n", cli.Printable(name), cli.Printable(value))
		}
	}
	fmt.Fprintf(table, "data\t%d bytes\n", len(l.Data))
	if err := table.Flush(); err != nil {
		return err
	}
	var indented bytes.Buffer
	text := string(l.Data)
	switch {
	case json.Indent(&indented, l.Data, "", "  ") == nil:
		var safe []string
		for line := range strings.Lines(indented.String()) {
			safe = append(safe, cli.Printable(strings.TrimSuffix(line, "\n")))
		}
		text = strings.Join(safe, "\n") + "\n"
	case !utf8.ValidString(text) || cli.Printable(text) != text:
		text = hex.Dump(l.Data)
	default:
		text += "\n"
	}
	_, err := fmt.Fprint(w, "\n", text)
	return err
}
