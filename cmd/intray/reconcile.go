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
	cli.AuditFlags
	Fix           bool          `help:"Repair the differences. Objects that are unknown to the database are kept."`
	DeleteUnknown bool          `help:"With --fix, also delete objects that are unknown to the database. Do not use this after the database was restored from a backup: unknown objects may have been uploaded since."`
	OlderThan     time.Duration `default:"5m" help:"With --delete-unknown, delete only objects older than this."`
	Settle        time.Duration `default:"10s" help:"Report a difference only if the object and the document have not changed for this long."`
	Limit         int           `default:"10" help:"Maximum number of findings of each kind to print."`
	JSON          bool          `help:"Print each finding as a JSON line, and the summary as the last line."`
}

// Help describes the comparison and the exit status.
func (reconcileCommand) Help() string {
	return `Compares every object in the bucket with every document in the database, and the used
bytes of every quota with the charges of the user's documents. It can run during uploads and
deletions, because each difference is checked again before it is reported. docs/reconcile.md
describes the kinds of differences and their repairs.

Exit status: 0 no differences remain, 1 differences remain, 2 wrong usage, 3 a component is
unreachable.`
}

// Run reconciles the bucket and the database once.
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
	options := c.Options(postgres.Options{MaxConns: 4, StatementTimeout: 5 * time.Minute})
	db, err := postgres.Open(s.Database, options)
	if err != nil {
		return err
	}
	defer db.Close()
	objects, err := minio.NewObjects(s.MinIO)
	if err != nil {
		return err
	}
	defer objects.Close()
	publisher, closePublisher, err := openPublisher(ctx, s, db, log)
	if err != nil {
		return err
	}
	defer closePublisher()

	summary, err := c.reconcile(ctx, db, objects, publisher, log)
	if err != nil {
		return err
	}
	if c.Fix {
		// The sweeper would carry out the deletions too, but only later.
		remover := remove.New(db, objects, publisher, log)
		if _, err := sweep.NewDeletions(db, objects, remover, log).Drain(ctx); err != nil {
			return fmt.Errorf("all repairs are recorded, but some objects are not deleted yet; "+
				"\"intray consume\" will delete them: %w", err)
		}
	}
	if summary.Left > 0 {
		return fmt.Errorf("%d differences remain", summary.Left)
	}
	return nil
}

func (c reconcileCommand) validate() error {
	switch {
	case c.DeleteUnknown && !c.Fix:
		return errors.New("--delete-unknown requires --fix")
	case c.OlderThan <= 0 || c.Settle <= 0:
		return errors.New("--older-than and --settle must be greater than 0")
	case c.Limit < 0:
		return errors.New("--limit must not be negative")
	}
	return nil
}

// openPublisher returns a publisher for the changes that the repairs make, and a function that
// closes it. If NATS is not configured, it returns a publisher that publishes nothing; the
// sweeper publishes the changes later.
func openPublisher(
	ctx context.Context, s cli.System, db *postgres.DB, log *slog.Logger,
) (publisher runner.Publisher, closePublisher func(), err error) {
	if s.NATS.URL == "" {
		return noPublisher{}, func() {}, nil
	}
	options := s.NATS
	options.Name, options.Log = "reconcile", log
	conn, err := nats.Connect(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	return nats.NewPublisher(conn, db, log), conn.Close, nil
}

// reconcile compares the bucket and the database, and repairs differences with --fix. It shows
// the progress and prints the findings.
func (c reconcileCommand) reconcile(
	ctx context.Context, db *postgres.DB, objects *minio.Objects, publisher runner.Publisher,
	log *slog.Logger,
) (reconcile.Summary, error) {
	expected, err := db.EstimateDocuments(ctx)
	if err != nil {
		return reconcile.Summary{}, err
	}
	bar := cli.NewProgressBar("documents compared", expected)
	defer bar.Clear()
	out := json.NewEncoder(os.Stdout)
	shown := make(map[reconcile.Kind][]reconcile.Finding)
	var writeErr error
	summary, err := reconcile.New(db, objects, publisher, log).Run(ctx, reconcile.Options{
		Fix: c.Fix, DeleteUnknown: c.DeleteUnknown, MinAge: c.OlderThan, Settle: c.Settle,
		Found: func(f reconcile.Finding) {
			if c.JSON {
				writeErr = errors.Join(writeErr, out.Encode(f))
			} else if len(shown[f.Kind]) < c.Limit {
				shown[f.Kind] = append(shown[f.Kind], f)
			}
		},
		Progress: func(p reconcile.Progress) {
			note := fmt.Sprintf("%d objects", p.Objects)
			if p.Waiting > 0 {
				note += fmt.Sprintf(", %d recent differences to check again", p.Waiting)
			}
			bar.Set(p.Documents, note)
		},
	})
	bar.Clear()
	switch {
	case err != nil:
		return summary, err
	case writeErr != nil:
		return summary, fmt.Errorf("write findings: %w", writeErr)
	case c.JSON:
		return summary, out.Encode(map[string]any{"summary": summary})
	default:
		return summary, c.report(os.Stdout, summary, shown)
	}
}

var meanings = map[reconcile.Kind]string{
	reconcile.UnknownObject: "objects that are unknown to the database",
	reconcile.StrayObject:   "objects that were deleted and exist again",
	reconcile.MissingObject: "documents whose object does not exist",
	reconcile.ChangedObject: "documents whose object changed after it was confirmed",
	reconcile.Unconfirmed:   "pending or expired documents whose object exists",
	reconcile.QuotaDrift:    "users whose used bytes differ from the sum of their documents",
	reconcile.Unchecked:     "documents whose object MinIO failed to stat",
}

// report writes a table by kind, the first findings of each kind, and advice.
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

// describe formats a finding in one line. It replaces unprintable characters, because object keys
// can contain any text.
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

// advise writes what to do next.
func (c reconcileCommand) advise(w io.Writer, s reconcile.Summary) {
	kind := s.Kinds[reconcile.UnknownObject]
	unknown := kind.Found - kind.Fixed
	switch {
	case s.Found == 0:
		fmt.Fprintln(w, "\nNo differences.")
	case s.Left == 0:
		fmt.Fprintln(w, "\nAll differences were repaired.")
	case !c.Fix && s.Left > unknown:
		fmt.Fprintln(w, "\nTo repair all kinds except unknown_object and unchecked,"+
			" run \"intray reconcile --fix\".")
	case s.Left > unknown:
		fmt.Fprintln(w, "\nSome differences could not be repaired; the findings say why."+
			" Fix the cause and run the command again.")
	}
	if unknown > 0 && !c.DeleteUnknown {
		fmt.Fprintln(w, "\nUnknown objects are kept. To delete them, add --fix --delete-unknown."+
			"\nDo not delete them after the database was restored from a backup: they may have been"+
			"\nuploaded since. Restore a newer backup, or keep them.")
	}
}
