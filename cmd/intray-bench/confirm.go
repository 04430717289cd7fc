package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"intray/bench"
	"intray/cmd/internal/cli"
)

type confirmCommand struct {
	cli.DataFlags
	JSON      bool `help:"One JSON object instead of the table."`
	Documents int  `default:"20000" help:"Documents that wait in each of the two backlogs; 0: no backlogs."`
	Users     int  `default:"50" help:"Users who own them."`
	Folder    int  `default:"256" help:"Documents in each folder of the dense backlog: what uploads bring in 256 ms."`
	Single    int  `default:"2000" help:"Documents for the one-by-one handler; 0: leave it out."`
	Uploads   int  `default:"1000" help:"Uploads in the burst, and a fifth of them one at a time before; 0: none."`
	Rows      int  `default:"0" help:"Settled documents to lie in the table beside, to see whether their number matters."`
}

// Help says what is measured.
func (confirmCommand) Help() string {
	return `Measures, on the stack that "intray up" runs, all in one run:

uploads: once the consumers have nothing to do, through the API and the gateway, with everything running: how long after the answer to its PUT
a client that polls sees its document uploaded; one at a time, then 16 at a time.

HEAD: how many HEADs a second MinIO answers, 16 in flight, on the backlog's objects, before and
after the backlog is drained.

confirm: how many documents a second the running consumers confirm. The server is told to deliver
nothing to confirm and classify while rows are inserted and objects of 1 KiB are PUT straight to
MinIO; both events of each wait in the stream. Then confirm is let go, and the time counts until every
document is uploaded and its event announced. Classify waits until the backlog is removed. Once with a dense
backlog (--folder documents in each folder), once with one whose keys lie scattered (each in a folder of its own).

one by one: the same for a handler in the benchmark that takes one message at a time: a HEAD, a transaction,
the announcement, the acknowledgment.

What it makes belongs to users whose addresses end in ` + bench.Domain + ` and is removed afterwards, also after
Ctrl-C; what a killed run left is removed by the next. MinIO's events of it stay in the stream BUCKET.
A killed run leaves confirm and classify paused for up to 15 minutes, or until the next run.

Figures depend on the machine and its load: compare those of one run.`
}

// Run measures and reports.
func (c confirmCommand) Run(ctx context.Context) error {
	if min(c.Documents, c.Single, c.Uploads, c.Rows) < 0 || min(c.Users, c.Folder) < 1 {
		return cli.Usage(errors.New(
			"numbers are not negative, and there is at least one user and one document a folder"))
	}
	s, err := running(c.Data)
	if err != nil {
		return err
	}
	progress := cli.NewProgressBar("", -1)
	report, err := bench.Confirm(ctx, bench.ConfirmConfig{
		Config: s.config(c.Rows, progress), API: s.stack.API, ConsumePID: s.stack.PIDs["consume"],
		Documents: c.Documents, Users: c.Users, Folder: c.Folder, Single: c.Single, Uploads: c.Uploads,
	})
	progress.Clear()
	if err != nil {
		return err
	}
	return write(c.JSON, report, writeConfirm)
}

// writeConfirm prints the report as tables.
func writeConfirm(w io.Writer, r bench.ConfirmReport) error {
	fmt.Fprintf(w, "%d documents of %d users in each backlog, %d settled ones beside; "+
		"load average %.1f at the start\n\n", r.Documents, r.Users, r.Rows, r.Load)
	rates := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(rates, "\tHEAD /s\tconfirm /s\tconfirm / HEAD\tconfirm / one by one\tmemory\t")
	for _, d := range []struct {
		name string
		bench.Drain
	}{{fmt.Sprintf("dense, %d a folder", r.Folder), r.Dense}, {"scattered", r.Scattered}} {
		fmt.Fprintf(rates, "%s\t%.0f\t%.0f\t%.2f\t%.1f\t%.0f MiB\t\n",
			d.name, d.Head, d.Rate, ratio(d.Rate, d.Head), ratio(d.Rate, r.OneByOne), d.Memory)
	}
	fmt.Fprintf(rates, "one by one\t%.0f\t%.0f\t%.2f\t%.1f\t\t\n",
		r.Dense.Head, r.OneByOne, ratio(r.OneByOne, r.Dense.Head), ratio(r.OneByOne, r.OneByOne))
	if err := rates.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nPUT, 16 in flight: %.0f /s\n\n", r.PutRate)

	times := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(times, "ms\tp50\tp90\tp99\tn\t")
	for _, t := range []struct {
		name string
		bench.Times
	}{
		{"PUT answered to uploaded, 1 at a time", r.OneAtATime},
		{"the same, 16 at a time", r.Burst},
		{"HEAD + commit + publish", r.Floor},
	} {
		fmt.Fprintf(times, "%s\t%.1f\t%.1f\t%.1f\t%d\t\n", t.name, t.P50, t.P90, t.P99, t.N)
	}
	fmt.Fprintf(times, "the burst's last upload\t%.1f\t\t\t1\t\n", r.Last)
	return times.Flush()
}

// ratio returns a / b, or 0 where b was not measured.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
