package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"intray/cmd/internal/cli"
	"intray/infra/postgres"
	"intray/schema"
)

type auditListCommand struct {
	cli.OwnerFlags
	Since timeFlag `placeholder:"TIME" help:"Only events at or after this time: a duration before now (24h, 30d), a date or an RFC 3339 time."`
	Until timeFlag `placeholder:"TIME" help:"Only events before this time."`
	User  string   `placeholder:"USER" help:"Only events about this user, or whose actor is this user: an email address, also of a removed account or one that never existed, or an id."`
	Kind  string   `placeholder:"KIND" help:"Only events of this kind, such as sign_in_failed."`
	Limit int      `placeholder:"N" help:"Maximum number of events. Default: 50 in the table, no limit with --json."`
	JSON  bool     `help:"Print one JSON object per line."`
}

// Help describes the audit trail and gives examples.
func (auditListCommand) Help() string { return auditHelp }

// Validate returns an error if the flags contradict each other or the kind does not exist.
func (c auditListCommand) Validate() error {
	switch {
	case c.Limit < 0:
		return cli.Usage(errors.New("--limit must not be negative"))
	case !c.Until.IsZero() && c.Until.Before(c.Since.Time):
		return cli.Usage(errors.New("--until is before --since"))
	case c.Kind != "" && !slices.Contains(schema.AuditKinds, schema.AuditKind(c.Kind)):
		kinds := make([]string, len(schema.AuditKinds))
		for i, k := range schema.AuditKinds {
			kinds[i] = string(k)
		}
		return cli.Usage(fmt.Errorf("unknown kind %q: choose from %s",
			c.Kind, strings.Join(kinds, ", ")))
	}
	return nil
}

// Run lists the events.
func (c auditListCommand) Run(ctx context.Context) error {
	db, err := c.OpenOwner()
	if err != nil {
		return err
	}
	defer db.Close()
	filter, err := c.filter(ctx, db)
	if err != nil {
		return err
	}
	events := db.AuditEvents(ctx, filter)
	if !c.JSON {
		return printAuditEvents(os.Stdout, events, cmp.Or(c.Limit, defaultLimit))
	}
	out, n := json.NewEncoder(os.Stdout), 0
	for e, err := range events {
		if err != nil {
			return err
		}
		e.At = e.At.UTC()
		if err := out.Encode(e); err != nil {
			return err
		}
		if n++; n == c.Limit {
			return nil
		}
	}
	return nil
}

// filter returns the filter of the flags. A user that does not exist is only looked for as an email
// address or an id in the events.
func (c auditListCommand) filter(
	ctx context.Context, db *postgres.DB,
) (postgres.AuditFilter, error) {
	f := postgres.AuditFilter{
		Since: c.Since.Time, Until: c.Until.Time, Kind: schema.AuditKind(c.Kind),
	}
	if c.User == "" {
		return f, nil
	}
	user, err := db.FindUser(ctx, c.User)
	if err == nil {
		f.UserID, f.Account = user.ID, user.Email
		return f, nil
	}
	if !errors.Is(err, postgres.ErrUserNotFound) {
		return f, err
	}
	if id, err := uuid.Parse(c.User); err == nil {
		f.UserID = id
	} else {
		f.Account = c.User
	}
	return f, nil
}

// printAuditEvents writes a table of up to limit events.
func printAuditEvents(
	w io.Writer, events iter.Seq2[schema.AuditEvent, error], limit int,
) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	n, more := 0, false
	for e, err := range events {
		if err != nil {
			return err
		}
		if n == limit {
			more = true
			break
		}
		if n++; n == 1 {
			fmt.Fprintln(table, "TIME\tKIND\tCOUNT\tACTOR\tACCOUNT\tADDRESS\tDETAILS")
		}
		details := string(e.Details)
		if e.DocumentID != nil {
			details = "document " + e.DocumentID.String() + " " + details
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", e.At.UTC().Format(time.RFC3339), e.Kind,
			e.Count, cellOf(e.Actor), cellOf(e.Account), cellOf(e.Address), cli.Printable(details))
	}
	if n == 0 {
		_, err := fmt.Fprintln(w, "No events.")
		return err
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if more {
		_, err := fmt.Fprintln(w, "There are more; use --limit or --since to show others.")
		return err
	}
	return nil
}

// cellOf returns a text for a cell of a table, or a hyphen if there is none.
func cellOf(text *string) string {
	if text == nil || *text == "" {
		return "-"
	}
	return cli.Printable(*text)
}
