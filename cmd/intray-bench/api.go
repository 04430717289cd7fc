package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"intray/bench"
	"intray/cmd/internal/cli"
)

type apiCommand struct {
	cli.DataFlags
	JSON   bool          `help:"One JSON object instead of the table."`
	Round  time.Duration `default:"250ms" help:"How long each of the things measured runs at a time."`
	Rounds int           `default:"25" help:"How often, in turns."`
	Rows   int           `default:"10000" help:"Settled documents to lie in the table beside."`
}

// Help says what is measured.
func (apiCommand) Help() string {
	return `Measures the API, on the database of the stack that "intray up" runs, over HTTP with 16 requests in
flight, of 64 users within the default limits, everything in turns in one run and in one process:

floor: an echo handler that does one SELECT by primary key, without row-level security, through a
pool of the same size.

polls: GET /api/documents/{id} with an If-None-Match that still holds, answered 304.

URL requests: POST /api/documents/upload-url, which commits a document to the disk.

The µs are what each adds to the floor's time that an answer takes this machine. What row-level security,
authentication and validation add to a poll: go test -run '^$' -bench PollSteps -benchtime 25x ./api

What it makes belongs to users whose addresses end in ` + bench.Domain + ` and is removed afterwards, also after
Ctrl-C; what a killed run left is removed by the next.

Figures depend on the machine and its load: compare those of one run.`
}

// Run measures and reports.
func (c apiCommand) Run(ctx context.Context) error {
	if c.Rounds < 1 || c.Round <= 0 || c.Rows < 0 {
		return cli.Usage(errors.New(
			"there is at least one round, which takes some time, and numbers are not negative"))
	}
	s, err := running(c.Data)
	if err != nil {
		return err
	}
	role, err := s.roleURL("api")
	if err != nil {
		return err
	}
	progress := cli.NewProgressBar("", -1)
	report, err := bench.API(ctx, bench.APIConfig{
		Config: s.config(c.Rows, progress), RoleURL: role, Round: c.Round, Rounds: c.Rounds,
	})
	progress.Clear()
	if err != nil {
		return err
	}
	return write(c.JSON, report, writeAPI)
}

// writeAPI prints the report as a table.
func writeAPI(w io.Writer, r bench.APIReport) error {
	fmt.Fprintf(w, "%d requests in flight, medians of %d rounds; load average %.1f at the start\n\n",
		r.InFlight, r.Rounds, r.Load)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\t/s\tof the floor\tadds µs\t")
	for _, s := range append(r.Steps, r.URLs) {
		fmt.Fprintf(table, "%s\t%.0f\t%.2f\t%.0f\t\n", s.Name, s.Rate, s.OfFloor, s.Adds)
	}
	return table.Flush()
}
