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
	JSON    bool `help:"One JSON object instead of the table."`
	Single  int  `default:"50" help:"PDFs of one page, one at a time."`
	Mixed   int  `default:"500" help:"Documents of many kinds, 16 uploads at a time."`
	Hostile int  `default:"200" help:"Damaged and hostile files, with a sound document beside every tenth."`
}

// Help says what is measured.
func (documentsCommand) Help() string {
	return `Measures, on the stack that "intray up" runs, how documents become classified, as a client sees it:

one page: from the answer to the PUT of a PDF of one page to classified, one at a time.
mixed: PDF, text, HTML, CSV, mail and docx; from the first PUT to the last that is classified.
hostile: files cut off, changed, recursive, bombs, noise. None may be left waiting, no sound document
beside them may end other than classified, and consume must be the same process afterwards; else the
exit status is 1.

Memory is that of consume and all its children, looked at every 20 ms (on Linux).

The documents belong to the development account that has the role user, and are deleted afterwards.`
}

// Run measures and reports.
func (c documentsCommand) Run(ctx context.Context) error {
	if min(c.Single, c.Mixed, c.Hostile) < 0 {
		return cli.Usage(errors.New("numbers are not negative"))
	}
	s, err := running(c.Data)
	if err != nil {
		return err
	}
	user := slices.IndexFunc(s.stack.Accounts, func(a local.Account) bool { return a.Role == "user" })
	if user < 0 {
		return errors.New("no account in " + local.StackFile + " has the role user")
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
		return errors.New("hostile files did not stay alone with what they did")
	}
	return nil
}

// writeDocuments prints the report as a table.
func writeDocuments(w io.Writer, r bench.DocumentsReport) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "one page, PUT answered to classified\tp50 %.1f ms, p90 %.1f ms\n", r.P50, r.P90)
	fmt.Fprintf(table, "mixed\t%.1f /s\t%s\n", r.PerSecond, ends(r.MixedOutcomes))
	fmt.Fprintf(table, "hostile, in %.1f s\t%s\n", r.HostileSeconds, ends(r.HostileOutcomes))
	fmt.Fprintf(table, "sound ones beside them\t%s\n", ends(r.ValidOutcomes))
	fmt.Fprintf(table, "memory of consume and its children\t%.0f MiB\n", r.PeakMiB)
	fmt.Fprintf(table, "consume is another process\t%t\n", r.Restarted)
	return table.Flush()
}

// ends lists the numbers of documents by how they ended.
func ends(counts map[string]int) string {
	var parts []string
	for _, end := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", end, counts[end]))
	}
	return strings.Join(parts, ", ")
}
