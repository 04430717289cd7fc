package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"intray/bench"
	"intray/cmd/internal/cli"
	"intray/infra/local"
)

type documentsCommand struct {
	cli.DataFlags
	JSON    bool `help:"Print one JSON object instead of a table."`
	Single  int  `default:"50" help:"Number of PDFs of one page, uploaded one at a time."`
	Mixed   int  `default:"500" help:"Number of documents of many kinds, uploaded 16 at a time."`
	Hostile int  `default:"200" help:"Number of damaged and hostile files. A valid document is uploaded with every tenth."`
}

// Help describes the measurement.
func (documentsCommand) Help() string {
	return `Measures how fast documents are classified, as a client sees it, on the stack that
"intray up" runs:

one page: the time from the response to the PUT of a PDF of one page until it is classified, one
at a time.

mixed: the rate for PDF, text, HTML, CSV, mail and docx files, from the first PUT until the last
one is classified.

hostile: truncated, modified and recursive files, decompression bombs and random bytes. Each of
them must reach a final status, each valid document uploaded with them must be classified, and
the process of the consumers must not have been restarted. Otherwise the exit status is 1.

The memory is that of "intray consume" and all its child processes, sampled every 20 ms (Linux
only).

The documents belong to the development account with the role user, and are deleted at the end.`
}

// Run measures the classification of documents and prints the report.
func (c documentsCommand) Run(ctx context.Context) error {
	if min(c.Single, c.Mixed, c.Hostile) < 0 {
		return cli.Usage(errors.New("--single, --mixed and --hostile must not be negative"))
	}
	s, err := running(c.Data)
	if err != nil {
		return err
	}
	user := slices.IndexFunc(s.stack.Accounts, func(a local.Account) bool { return a.Role == "user" })
	if user < 0 {
		return errors.New(local.StackFile + " has no account with the role user")
	}
	account := s.stack.Accounts[user]
	progress := cli.NewProgressBar("", -1)
	report, err := bench.Documents(ctx, bench.DocumentsConfig{
		API: s.stack.API, Email: account.Email, Password: account.Password, ConsumePID: s.consumePID,
		Single: c.Single, Mixed: c.Mixed, Hostile: c.Hostile, Progress: progress.Stage,
	})
	progress.Clear()
	if err != nil {
		return err
	}
	if err := write(c.JSON, report, writeDocuments); err != nil {
		return err
	}
	if !report.Contained() {
		return errors.New("hostile files affected other documents or the consumers")
	}
	return nil
}

// writeDocuments prints the report as a table.
func writeDocuments(w io.Writer, r bench.DocumentsReport) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "one page, PUT response to classified\tp50 %.1f ms, p90 %.1f ms\n",
		r.P50, r.P90)
	fmt.Fprintf(table, "mixed\t%.1f/s\t%s\n", r.PerSecond, outcomes(r.MixedOutcomes))
	fmt.Fprintf(table, "hostile, in %.1f s\t%s\n", r.HostileSeconds, outcomes(r.HostileOutcomes))
	fmt.Fprintf(table, "valid documents beside them\t%s\n", outcomes(r.ValidOutcomes))
	fmt.Fprintf(table, "memory of the consumers\t%.0f MiB\n", r.PeakMiB)
	fmt.Fprintf(table, "consumers restarted\t%t\n", r.Restarted)
	return table.Flush()
}

// outcomes formats the numbers of documents by outcome.
func outcomes(counts map[string]int) string {
	var texts []string
	for _, outcome := range slices.Sorted(maps.Keys(counts)) {
		texts = append(texts, fmt.Sprintf("%s %d", outcome, counts[outcome]))
	}
	return strings.Join(texts, ", ")
}
