package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"intray/cmd/internal/cli"
	"intray/consumers/reconcile"
	"intray/consumers/remove"
	"intray/consumers/runner"
	"intray/consumers/sweep"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
)

type reconcileCommand struct {
	cli.OperatorFlags
	Fix           bool          `help:"Repair what the rules allow. Objects that the database does not know stay."`
	DeleteUnknown bool          `help:"With --fix: delete the objects that the database does not know, too. Never after the database was restored from a backup: they may be what came since."`
	OlderThan     time.Duration `default:"5m" help:"With --delete-unknown: only objects that are older than this."`
	Settle        time.Duration `default:"10s" help:"How long nothing must have happened at a key before a difference there counts."`
	Limit         int           `default:"10" help:"How many findings of each kind to show."`
	JSON          bool          `help:"Every finding as a JSON line, then the summary as the last."`
}

// Help says what is safe and what the exit status means.
func (reconcileCommand) Help() string {
	return `Compares every object in the bucket with every document in the database, and quotas with
documents. Safe while uploads and deletions go on: a difference is looked at again before it
counts. docs/reconcile.md says what each kind means and what --fix does about it.

Exit status: 0 nothing is left to repair, 1 something is, 2 wrong usage, 3 out of reach.`
}

// Run reconciles once.
func (c reconcileCommand) Run(ctx context.Context) error {
	if err := c.validate(); err != nil {
		return cli.Usage(err)
	}
	s, err := c.Find()
	if err != nil {
		return err
	}
	if s.MinIO.Endpoint == "" {
		return cli.Usage(errors.New("MINIO_ENDPOINT is not set (see docs/configuration.md)"))
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	options := postgres.Options{MaxConns: 4, StatementTimeout: 5 * time.Minute}
	db, err := postgres.Open(ctx, s.Database, options)
	if err != nil {
		return err
	}
	defer db.Close()
	objects, err := minio.NewObjects(s.MinIO)
	if err != nil {
		return err
	}
	defer objects.Close()
	publisher, closePublisher, err := publisherOf(ctx, s, db, log)
	if err != nil {
		return err
	}
	defer closePublisher()

	summary, err := c.reconcile(ctx, db, objects, publisher, log)
	if err != nil {
		return err
	}
	if c.Fix {
		// At once, rather than when the sweeper comes to it.
		remover := remove.New(db, objects, publisher, log)
		if _, err := sweep.NewDeletions(db, objects, remover, log).Drain(ctx); err != nil {
			return fmt.Errorf("the repairs are recorded; not every object is deleted yet,"+
				" which \"intray consume\" does: %w", err)
		}
	}
	if summary.Left > 0 {
		return fmt.Errorf("%d differences are left", summary.Left)
	}
	return nil
}

func (c reconcileCommand) validate() error {
	switch {
	case c.DeleteUnknown && !c.Fix:
		return errors.New("--delete-unknown needs --fix")
	case c.OlderThan <= 0 || c.Settle <= 0:
		return errors.New("--older-than and --settle are above 0")
	case c.Limit < 0:
		return errors.New("--limit is not negative")
	}
	return nil
}

// publisherOf returns what publishes the changes of repairs, and what closes it. Where
// no setting names NATS it publishes nothing, and the sweeper does it later.
func publisherOf(
	ctx context.Context, s cli.System, db *postgres.DB, log *slog.Logger,
) (runner.Publisher, func(), error) {
	if s.NATS.URL == "" {
		return nobody{}, func() {}, nil
	}
	options := s.NATS
	options.Name, options.Log = "reconcile", log
	conn, err := nats.Connect(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	return nats.NewPublisher(conn, db, log), conn.Close, nil
}

// reconcile compares, and repairs with --fix, with its progress, and prints what it
// found.
func (c reconcileCommand) reconcile(
	ctx context.Context, db *postgres.DB, objects *minio.Objects, publisher runner.Publisher,
	log *slog.Logger,
) (reconcile.Summary, error) {
	expected, err := db.CountDocuments(ctx)
	if err != nil {
		return reconcile.Summary{}, err
	}
	bar := cli.NewProgressBar("documents compared", expected)
	defer bar.Clear()
	out := json.NewEncoder(os.Stdout)
	shown := make(map[reconcile.Kind][]reconcile.Finding)
	var writing error
	summary, err := reconcile.New(db, objects, publisher, log).Run(ctx, reconcile.Options{
		Fix: c.Fix, DeleteUnknown: c.DeleteUnknown, MinAge: c.OlderThan, Settle: c.Settle,
		Found: func(f reconcile.Finding) {
			if c.JSON {
				writing = errors.Join(writing, out.Encode(f))
			} else if len(shown[f.Kind]) < c.Limit {
				shown[f.Kind] = append(shown[f.Kind], f)
			}
		},
		Progress: func(p reconcile.Progress) {
			note := fmt.Sprintf("%d objects", p.Objects)
			if p.Waiting > 0 {
				note += fmt.Sprintf(", %d fresh differences are looked at again", p.Waiting)
			}
			bar.Set(p.Documents, note)
		},
	})
	bar.Clear()
	switch {
	case err != nil:
		return summary, err
	case writing != nil:
		return summary, fmt.Errorf("write findings: %w", writing)
	case c.JSON:
		return summary, out.Encode(map[string]any{"summary": summary})
	default:
		return summary, c.report(os.Stdout, summary, shown)
	}
}

var meanings = map[reconcile.Kind]string{
	reconcile.UnknownObject: "objects that the database does not know",
	reconcile.StrayObject:   "objects that were given up and are there again",
	reconcile.MissingObject: "documents whose object is gone",
	reconcile.ChangedObject: "documents whose object is not the one that was confirmed",
	reconcile.Unconfirmed:   "documents that wait for an object that is there",
	reconcile.QuotaDrift:    "users whose used bytes are not the sum of their documents'",
	reconcile.Unchecked:     "documents whose object MinIO refused to show",
}

// report writes the table by kind, the first findings of each, and what to do.
func (c reconcileCommand) report(
	w io.Writer, s reconcile.Summary, shown map[reconcile.Kind][]reconcile.Finding,
) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KIND\tFOUND\tFIXED\tBYTES\tMEANING")
	for _, k := range reconcile.Kinds {
		t := s.Kinds[k]
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%s\n", k, t.Found, t.Fixed, t.Bytes, meanings[k])
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%d objects (%d bytes), %d documents and %d users compared in %.1f s.\n",
		s.Objects, s.Bytes, s.Documents, s.Users, s.Took)
	for _, k := range reconcile.Kinds {
		if len(shown[k]) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s: %d of %d\n", k, len(shown[k]), s.Kinds[k].Found)
		for _, f := range shown[k] {
			fmt.Fprintln(w, "  "+describe(f))
		}
	}
	c.advise(w, s)
	return nil
}

// describe returns a finding in one line. Keys are anybody's text.
func describe(f reconcile.Finding) string {
	text := cli.Printable(f.Key)
	if f.Kind == reconcile.QuotaDrift {
		text = fmt.Sprintf("user %s: %d bytes used, documents are charged %d",
			f.UserID, *f.UsedBytes, *f.ChargedBytes)
	}
	if f.Status != "" {
		text += fmt.Sprintf("  %s, %d bytes", f.Status, *f.Size)
	}
	if f.Object != nil {
		text += fmt.Sprintf("  object of %d bytes, %s",
			f.Object.Size, f.Object.LastModified.Format(time.RFC3339))
	}
	if f.Fixed {
		text += "  fixed"
	}
	if f.Note != "" {
		text += "  (" + cli.Printable(f.Note) + ")"
	}
	return text
}

func (c reconcileCommand) advise(w io.Writer, s reconcile.Summary) {
	unknown := s.Kinds[reconcile.UnknownObject]
	left := unknown.Found - unknown.Fixed
	switch {
	case s.Found == 0:
		fmt.Fprintln(w, "\nEverything is in order.")
	case s.Left == 0:
		fmt.Fprintln(w, "\nEverything found is fixed.")
	case !c.Fix && s.Left > left:
		fmt.Fprintln(w, "\nNext: intray reconcile --fix repairs all of these"+
			" but unknown_object and unchecked.")
	case s.Left > left:
		fmt.Fprintln(w, "\nNext: what is left says why it is. Run it again once the cause is gone.")
	}
	if left > 0 && !c.DeleteUnknown {
		fmt.Fprintln(w, "\nUnknown objects stay unless you say --fix --delete-unknown."+
			" After the database was restored\n"+
			"from a backup they may be what users uploaded since: restore a newer one, or keep them.")
	}
}
