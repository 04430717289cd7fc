package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"text/tabwriter"
	"time"

	"intray/api"
	"intray/bench"
	"intray/cmd/internal/cli"
	"intray/infra/local"
)

type apiCommand struct {
	cli.OperatorFlags
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

polls: GET /api/documents/{id} with an If-None-Match that still holds, answered 304: the handler
alone, then with row-level security, authentication and validation one after the other, then the API as it
is. Each step's µs are what it adds to the time that an answer takes this machine.

URL requests: POST /api/documents/upload-url, which commits a document to the disk.

What it makes belongs to users whose addresses end in ` + bench.Domain + ` and is removed afterwards, also after
Ctrl-C; what a killed run left is removed by the next.

Figures depend on the machine and its load: compare those of one run.`
}

// Run measures and reports.
func (c apiCommand) Run(ctx context.Context) error {
	if c.Rounds < 1 || c.Round <= 0 || c.Rows < 0 {
		return cli.Usage(errors.New("there is at least one round, which takes some time, and numbers are not negative"))
	}
	dir, err := cli.DataDir(c.Data)
	if err != nil {
		return err
	}
	s, err := cli.Running(dir)
	if err != nil {
		return err
	}
	password, err := local.ReadSecret(dir, "postgres_api")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s has no password of the role api", cli.ErrUnreachable, dir)
	}
	if err != nil {
		return err
	}
	role, err := url.Parse(s.Database)
	if err != nil {
		return errors.New("the address of the database in " + local.StackFile + " cannot be read")
	}
	role.User = url.UserPassword("api", password)
	progress := cli.NewProgressBar("", -1)
	s.NATS.Name, s.NATS.Log = "bench", slog.New(slog.DiscardHandler)
	report, err := bench.RunAPI(ctx, bench.APIConfig{
		Config: bench.Config{
			Database: s.Database, NATS: s.NATS, MinIO: s.MinIO, HashPassword: api.HashPassword, Rows: c.Rows, Progress: progress.Stage,
		},
		RoleURL: role.String(), Round: c.Round, Rounds: c.Rounds,
	})
	progress.Clear()
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(report)
	}
	return writeBenchAPI(os.Stdout, report)
}

// writeBenchAPI prints the report as a table.
func writeBenchAPI(w io.Writer, r bench.APIReport) error {
	fmt.Fprintf(w, "%d requests in flight, medians of %d rounds; load average %.1f at the start\n\n", r.InFlight, r.Rounds, r.Load)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\t/s\tof the floor\tadds µs\t")
	for _, s := range append(r.Steps, r.URLs) {
		fmt.Fprintf(table, "%s\t%.0f\t%.2f\t%.0f\t\n", s.Name, s.Rate, s.OfFloor, s.Adds)
	}
	return table.Flush()
}
