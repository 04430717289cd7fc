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
	JSON      bool `help:"Print one JSON object instead of tables."`
	Documents int  `default:"20000" help:"Number of documents in each of the two backlogs; 0 skips the backlogs."`
	Users     int  `default:"50" help:"Number of users who own the documents."`
	Folder    int  `default:"256" help:"Number of documents in each folder of the dense backlog. In real use, the documents of 256 ms share a folder."`
	Single    int  `default:"2000" help:"Number of documents for the one-by-one handler; 0 skips it."`
	Uploads   int  `default:"1000" help:"Number of uploads in the burst. Before it, a fifth of them are uploaded one at a time; 0 skips both."`
	Rows      int  `default:"0" help:"Number of other, classified documents to insert first, to measure whether the size of the table matters."`
}

// Help describes the measurement.
func (confirmCommand) Help() string {
	return `Measures the confirmation of uploads on the stack that "intray up" runs, in one run:

uploads: the time from the response to a PUT until a polling client sees the document as uploaded,
through the API and the gateway. First the files are uploaded one at a time, then 16 concurrently.
Nothing else is queued.

HEAD: the rate of HEAD requests to MinIO, 16 concurrently, for the objects of the backlog, before
and after the backlog is processed.

confirm: the rate at which the running consumers confirm a backlog. The server delivers nothing to
confirm and classify while the rows are inserted and objects of 1 KiB are uploaded directly to
MinIO, so that both events of each object wait in the stream. Then confirm is resumed, and the
time is measured until every document is uploaded and its event is published. classify is paused
until the backlog is removed. One backlog is dense (--folder documents in each folder), the other
one is scattered (each document in a folder of its own).

one by one: the same for a handler in the benchmark that takes one message at a time, with a HEAD
request, a transaction, a publish and an ack for each.

The command creates users whose addresses end in` + bench.Domain + `, and removes them with all
their documents at the end, also after Ctrl-C. If it is killed, the next run removes them. MinIO's
events about the objects remain in the stream BUCKET. If it is killed, confirm and classify remain
paused until the next run, or for up to 15 minutes.

The figures depend on the machine and its load. Compare only figures of the same run.`
}

// Run measures the confirmation of uploads and prints the report.
func (c confirmCommand) Run(ctx context.Context) error {
	if min(c.Documents, c.Single, c.Uploads, c.Rows) < 0 || min(c.Users, c.Folder) < 1 {
		return cli.Usage(errors.New(
			"--users and --folder must be at least 1, and the other numbers must not be negative"))
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
	fmt.Fprintf(w, "%d documents of %d users in each backlog, %d other documents, "+
		"load average %.1f at the start\n\n", r.Documents, r.Users, r.Rows, r.Load)
	rates := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(rates, "\tHEAD /s\tconfirm /s\tconfirm / HEAD\tconfirm / one by one\tmemory\t")
	for _, d := range []struct {
		name string
		bench.Drain
	}{{fmt.Sprintf("dense, %d per folder", r.Folder), r.Dense}, {"scattered", r.Scattered}} {
		fmt.Fprintf(rates, "%s\t%.0f\t%.0f\t%.2f\t%.1f\t%.0f MiB\t\n",
			d.name, d.Head, d.Rate, ratio(d.Rate, d.Head), ratio(d.Rate, r.OneByOne), d.Memory)
	}
	fmt.Fprintf(rates, "one by one\t%.0f\t%.0f\t%.2f\t%.1f\t\t\n",
		r.Dense.Head, r.OneByOne, ratio(r.OneByOne, r.Dense.Head), ratio(r.OneByOne, r.OneByOne))
	if err := rates.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nPUT, 16 concurrently: %.0f/s\n\n", r.PutRate)

	times := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(times, "ms\tp50\tp90\tp99\tn\t")
	for _, t := range []struct {
		name string
		bench.Times
	}{
		{"PUT response to uploaded, 1 at a time", r.OneAtATime},
		{"the same, 16 concurrently", r.Burst},
		{"HEAD + commit + publish", r.Floor},
	} {
		fmt.Fprintf(times, "%s\t%.1f\t%.1f\t%.1f\t%d\t\n", t.name, t.P50, t.P90, t.P99, t.N)
	}
	fmt.Fprintf(times, "last upload of the burst\t%.1f\t\t\t1\t\n", r.Last)
	return times.Flush()
}

// ratio returns a / b, or 0 if b was not measured.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
