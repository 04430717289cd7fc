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
	JSON   bool          `help:"Print one JSON object instead of a table."`
	Round  time.Duration `default:"250ms" help:"Duration of each step in one round."`
	Rounds int           `default:"25" help:"Number of rounds. In each round all steps run one after another."`
	Rows   int           `default:"10000" help:"Number of classified documents to insert before the measurement."`
}

// Help describes the measurement.
func (apiCommand) Help() string {
	return `Measures the API over HTTP with the database of the stack that "intray up" runs. The API
and the client run in the process of the benchmark, with 16 concurrent requests of 64 users within
the default limits. The steps alternate in rounds:

floor: an echo handler that executes one SELECT by primary key, without row-level security, with a
connection pool of the same size.

polls: GET /api/documents/{id} with an If-None-Match that matches, with the response 304.

URL requests: POST /api/documents/upload-url, which commits a document to disk.

"adds µs" is the time in microseconds that one response takes in addition to the floor. To measure
what row-level security, authentication and validation add to a poll, run:

  go test -run '^$' -bench PollSteps -benchtime 25x ./api

The command creates users whose addresses end in` + bench.Domain + `, and removes them with all
their documents at the end, also after Ctrl-C. If it is killed, the next run removes them.

The figures depend on the machine and its load. Compare only figures of the same run.`
}

// Run measures the API and prints the report.
func (c apiCommand) Run(ctx context.Context) error {
	if c.Rounds < 1 || c.Round <= 0 || c.Rows < 0 {
		return cli.Usage(errors.New(
			"--rounds must be at least 1, --round greater than 0, and --rows not negative"))
	}
	s, err := running(c.Data)
	if err != nil {
		return err
	}
	role, err := s.roleURL("api")
	if err != nil {
		return err
	}
	auth, err := s.roleURL("auth")
	if err != nil {
		return err
	}
	progress := cli.NewProgressBar("", -1)
	report, err := bench.API(ctx, bench.APIConfig{
		Config: s.config(c.Rows, progress), RoleURL: role, AuthURL: auth,
		Round: c.Round, Rounds: c.Rounds,
	})
	progress.Clear()
	if err != nil {
		return err
	}
	return write(c.JSON, report, writeAPI)
}

// writeAPI prints the report as a table.
func writeAPI(w io.Writer, r bench.APIReport) error {
	fmt.Fprintf(w, "%d concurrent requests, medians of %d rounds, load average %.1f at the start\n\n",
		r.InFlight, r.Rounds, r.Load)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\t/s\tof the floor\tadds µs\t")
	for _, s := range append(r.Steps, r.URLs) {
		fmt.Fprintf(table, "%s\t%.0f\t%.2f\t%.0f\t\n", s.Name, s.Rate, s.OfFloor, s.Adds)
	}
	return table.Flush()
}
