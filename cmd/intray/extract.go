package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"intray/cmd/internal/cli"
	"intray/consumers/classify/extract"
)

type extractCommand struct {
	Files []string `arg:"" name:"file" help:"Files to read."`
	JSON  bool     `help:"Print one JSON object per line."`

	CacheDir     string `env:"CACHE_DIR" placeholder:"DIR" help:"Private folder for the compiled PDF reader. Default: that of \"intray up\"."`
	OCRLanguages string `name:"ocr-languages" env:"OCR_LANGUAGES" placeholder:"eng" help:"Languages of text in pictures and scans, for tesseract, such as deu+eng."`
}

// Help describes the output and the exit status.
func (extractCommand) Help() string {
	return `Prints the text that the consumer classify would read in each file: with the same code and
the same limits, and with OCR if tesseract is installed. It needs no running system. The kind is
detected from the content; the name of the file makes no difference.

For each file it prints a line with the kind and, if it has any, the pages, how many of them OCR has
read, and whether text was left out, and then the text. With --json each line is an object:

  {"file","kind","text","truncated","pages","ocr_pages","reason"}

reason is why there is no text, otherwise null: encrypted, no_ocr (it is an image or a scan, and
tesseract is not installed), no_text, broken or unsupported.

Exit status: 0 every file has text, 1 a file has no text or cannot be opened, 2 wrong usage.`
}

// extracted is what was read from a file, as --json prints it.
type extracted struct {
	File      string  `json:"file"`
	Kind      string  `json:"kind"`
	Text      string  `json:"text"`
	Truncated bool    `json:"truncated"`
	Pages     int     `json:"pages"`
	OCRPages  int     `json:"ocr_pages"`
	Reason    *string `json:"reason"`
}

// Run reads the files one after another. A file that cannot be read does not stop it.
func (c extractCommand) Run(ctx context.Context) (err error) {
	extractor, err := extract.New(extract.Config{
		CacheDir:     cmp.Or(c.CacheDir, filepath.Join(cli.CacheDir(), "wasm")),
		OCRLanguages: c.OCRLanguages,
	})
	if errors.Is(err, extract.ErrLanguages) {
		return cli.Usage(fmt.Errorf("OCR_LANGUAGES: %w (see docs/configuration.md)", err))
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, extractor.Close()) }()
	failed := 0
	for _, name := range c.Files {
		result, err := extractFile(ctx, extractor, name)
		reason := extract.Reason(err)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			failed++
			fmt.Fprintf(os.Stderr, "intray: %s: %v\n", cli.Printable(name), err)
		}
		if err != nil && reason == "" {
			continue
		}
		found := extracted{
			File: name, Kind: result.Kind, Text: result.Text, Truncated: result.Truncated,
			Pages: result.Pages, OCRPages: result.OCRPages,
		}
		if reason != "" {
			found.Reason = &reason
		}
		if err := found.print(os.Stdout, c.JSON); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d files have no text", failed, len(c.Files))
	}
	return nil
}

func extractFile(
	ctx context.Context, extractor *extract.Extractor, name string,
) (extract.Result, error) {
	file, err := os.Open(name)
	if err != nil {
		return extract.Result{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return extract.Result{}, err
	}
	size := info.Size()
	if !info.Mode().IsRegular() {
		size = -1
	}
	return extractor.Text(ctx, file, size, "")
}

// print writes the result as a JSON object or as a line and the text.
func (e extracted) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(e)
	}
	facts := []string{cmp.Or(e.Kind, "empty")}
	if e.Pages > 0 {
		facts = append(facts, fmt.Sprintf("%d pages", e.Pages))
	}
	if e.OCRPages > 0 {
		facts = append(facts, fmt.Sprintf("%d by OCR", e.OCRPages))
	}
	if e.Truncated {
		facts = append(facts, "truncated")
	}
	if e.Reason != nil {
		facts = append(facts, *e.Reason)
	}
	_, err := fmt.Fprintf(out, "%s: %s\n", cli.Printable(e.File), strings.Join(facts, ", "))
	if err == nil && e.Text != "" {
		_, err = fmt.Fprintf(out, "\n%s\n\n", e.Text)
	}
	return err
}
