// Command extract compares the text that package extract reads in files with what other programs
// read in them, and lists the files for which they differ most.
//
//	go run ./bench/extract [-worst 50] [-kind application/pdf] [-no-ocr] [-json] FOLDER…
//
// It reads all files in the folders with the same code and limits as `intray extract`. The
// references are those of the following programs that are installed:
//
//	PDF                     pdftotext (poppler)
//	Office before 2007      catdoc, xls2csv, catppt
//	Office, OpenDocument    LibreOffice, which converts them to PDF
//	images                  tesseract alone
//	emails                  Python's package email
//	messages of Outlook     msgconvert (Email::Outlook::Message), then Python
//
// They are kept in the user's cache folder by the digest of the file, so that a second run takes
// only as long as package extract. The references are wrong in places too: a difference is a reason
// to open the file, not an error.
//
// The columns of the table are means over the files of a kind that have at least ten words in the
// reference: found is the share of the reference's words that extract reads too, and extra is the
// share of extract's words that the reference does not have. Words are counted, but their order is
// not compared.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"intray/consumers/classify/extract"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "extract:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	worst   int
	kind    string
	noOCR   bool
	json    bool
	folders []string
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	var o options
	flags := flag.NewFlagSet("extract", flag.ContinueOnError)
	flags.IntVar(&o.worst, "worst", 50, "number of files to list")
	flags.StringVar(&o.kind, "kind", "", "beginning of the media types to compare")
	flags.BoolVar(&o.noOCR, "no-ocr", false, "do not recognize pages and images")
	flags.BoolVar(&o.json, "json", false, "print an object for each file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.folders = flags.Args(); len(o.folders) == 0 {
		return fmt.Errorf("no folder is named")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	config := extract.Config{CacheDir: filepath.Join(cache, "intray", "wasm")}
	if o.noOCR {
		config.Tesseract = "true" // which recognizes nothing
	}
	extractor, err := extract.New(config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, extractor.Close()) }()
	references := references{folder: filepath.Join(cache, "intray", "references")}
	var all []comparison
	for _, folder := range o.folders {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			c, err := compareFile(ctx, extractor, references, path, o.kind)
			if err != nil || c.Kind == "" {
				return err
			}
			all = append(all, c)
			if o.json {
				return json.NewEncoder(out).Encode(c)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if o.json {
		return nil
	}
	return report(out, all, o.worst)
}

// compareFile compares what extract reads in a file with the reference. The result is empty if the
// kind of the file does not begin with kind.
func compareFile(
	ctx context.Context, extractor *extract.Extractor, references references, path, kind string,
) (comparison, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return comparison{}, err
	}
	start := time.Now()
	r, err := extractor.Text(ctx, strings.NewReader(string(content)), int64(len(content)), "")
	if ctx.Err() != nil {
		return comparison{}, ctx.Err()
	}
	if !strings.HasPrefix(r.Kind, kind) {
		return comparison{}, nil
	}
	c := comparison{
		File: path, Kind: r.Kind, Reason: extract.Reason(err), Truncated: r.Truncated,
		Milliseconds: time.Since(start).Milliseconds(),
	}
	if err != nil && c.Reason == "" {
		c.Reason = err.Error()
	}
	reference, ok, err := references.read(ctx, path, content, r.Kind)
	c.HasReference = ok
	c.compare(r.Text, reference)
	return c, err
}

// report prints the means of each kind and the files that differ most.
func report(out io.Writer, all []comparison, worst int) error {
	byKind := map[string][]comparison{}
	for _, c := range all {
		byKind[c.Kind] = append(byKind[c.Kind], c)
		if c.isCompared() {
			byKind["all"] = append(byKind["all"], c)
		}
	}
	kinds := make([]string, 0, len(byKind))
	for kind := range byKind {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	fmt.Fprintln(out, "| kind | files | with text | compared | found | extra | found < 0.8 |")
	fmt.Fprintln(out, "| --- | --- | --- | --- | --- | --- | --- |")
	for _, kind := range kinds {
		fmt.Fprintln(out, newSummary(byKind[kind]).row(kind))
	}
	slices.SortStableFunc(all, func(a, b comparison) int { return b.differs(a) })
	fmt.Fprintln(out)
	for _, c := range all[:min(worst, len(all))] {
		if _, err := fmt.Fprintln(out, c.line()); err != nil {
			return err
		}
	}
	return nil
}
