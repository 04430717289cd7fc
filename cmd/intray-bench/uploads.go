package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"text/tabwriter"
	"time"

	"intray/bench"
	"intray/cmd/internal/cli"
	"intray/infra/local"
)

type uploadsCommand struct {
	cli.DataFlags
	JSON     bool          `help:"Print one JSON object instead of tables."`
	Users    []int         `default:"1,16" help:"Numbers of users. Each is measured with each number of clients."`
	Clients  []int         `default:"1,16,64" help:"Numbers of concurrent clients, which share the users."`
	Duration time.Duration `default:"10s" help:"Time for which the clients upload in each measurement."`
	Puts     int           `default:"1000" help:"Number of PUTs in each measurement of MinIO alone."`
	Settle   time.Duration `default:"11s" help:"Time to wait before PostgreSQL's counters are read. They are complete after 11s."`
}

// Help describes the measurement.
func (uploadsCommand) Help() string {
	return `Measures sustained uploads on the stack that "intray up" runs, for each number of users and
clients:

MinIO: the rate of PUTs of 1 KiB directly to MinIO, then of presigned PUTs through the gateway.
Meanwhile the consumers are stopped: the server delivers nothing to confirm and classify.

uploads: each client requests a URL and PUTs a text of 1 KiB, one after the other, for --duration.
The rates are those of the uploads and of the documents that become classified at the same time,
without the first fifth of the time. Then the time is measured until all documents are classified.

per document: the processor time of each server and of this program (Linux only), and PostgreSQL's
commits, syncs and records of the WAL. Statements are counted only if the extension
pg_stat_statements exists in the database. Everything else that the servers do at the same time is
included.

The API limits the rate of one user's requests. A measurement that exceeds the limit fails; start
the stack with a larger WRITES_PER_SECOND.

The command creates users whose addresses end in ` + bench.Domain + `, and removes them with all
their documents at the end, also after Ctrl-C. If it is killed, the next run removes them.

The figures depend on the machine and its load. Compare only figures of the same run.`
}

// Run measures sustained uploads and prints the report.
func (c uploadsCommand) Run(ctx context.Context) error {
	if len(c.Users) == 0 || len(c.Clients) == 0 ||
		min(slices.Min(c.Users), slices.Min(c.Clients), c.Puts) < 1 ||
		c.Duration <= 0 || c.Settle < 0 {
		return cli.Usage(errors.New(
			"--users, --clients, --puts and --duration must be positive, and --settle not negative"))
	}
	s, err := running(c.Data)
	if err != nil {
		return err
	}
	gateway, err := url.Parse(s.stack.Gateway)
	if err != nil {
		return errors.New("the URL of the gateway in " + local.StackFile + " is invalid")
	}
	progress := cli.NewProgressBar("", -1)
	report, err := bench.Uploads(ctx, bench.UploadsConfig{
		Config: s.config(0, progress), API: s.stack.API, Gateway: gateway, PIDs: s.pids,
		Users: c.Users, Clients: c.Clients, Duration: c.Duration, Puts: c.Puts, Settle: c.Settle,
	})
	progress.Clear()
	if err != nil {
		return err
	}
	return write(c.JSON, report, writeUploads)
}

// writeUploads prints the report as tables.
func writeUploads(w io.Writer, r bench.UploadsReport) error {
	fmt.Fprintf(w, "%.0f s of uploads in each line, load average %.1f at the start\n\n",
		r.Seconds, r.Load)
	rates := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(rates, "users\tclients\tMinIO PUT /s\tstopped PUT /s\tPUT /s\tclassified /s\t"+
		"classified / stopped PUT\tlast classified after\t")
	for _, s := range r.Loads {
		fmt.Fprintf(rates, "%d\t%d\t%.0f\t%.0f\t%.0f\t%.0f\t%.2f\t%.1f s\t\n", s.Users, s.Clients,
			s.MinIORate, s.StoppedRate, s.PutRate, s.Rate, s.OfStopped, s.Drain)
	}
	if err := rates.Flush(); err != nil {
		return err
	}
	fmt.Fprint(w, "\nper document, processor time in ms\n\n")
	costs := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	names := processNames(r)
	fmt.Fprint(costs, "users\tclients\t")
	for _, name := range names {
		fmt.Fprintf(costs, "%s\t", name)
	}
	fmt.Fprintln(costs, "total\tstatements\tcommits\tWAL syncs\tWAL records\t")
	for _, s := range r.Loads {
		fmt.Fprintf(costs, "%d\t%d\t", s.Users, s.Clients)
		total := 0.0
		for _, name := range names {
			total += s.Processor[name]
			fmt.Fprintf(costs, "%.2f\t", s.Processor[name])
		}
		fmt.Fprintf(costs, "%.1f\t%s\t%s\t%s\t%s\t\n", total,
			counted(s.Statements), counted(s.Commits), counted(s.WALSyncs), counted(s.WALRecords))
	}
	return costs.Flush()
}

// processNames returns the names of the processes in the report, in alphabetical order.
func processNames(r bench.UploadsReport) []string {
	if len(r.Loads) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(r.Loads[0].Processor))
}

// counted formats a counter, or a dash if the server does not have it.
func counted(n *float64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f", *n)
}
