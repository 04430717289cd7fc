package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"intray/cmd/internal/cli"
	"intray/infra/postgres"
	"intray/schema"
)

type deadLettersShowCommand struct {
	cli.OwnerFlags
	ID   int64 `arg:"" help:"Id of the dead letter, as \"list\" shows it."`
	JSON bool  `help:"Print one JSON object."`
}

// Help describes dead letters and the exit status.
func (deadLettersShowCommand) Help() string { return deadLettersHelp }

// Run shows the dead letter.
func (c deadLettersShowCommand) Run(ctx context.Context) error {
	db, err := c.OpenOwner()
	if err != nil {
		return err
	}
	defer db.Close()
	l, err := db.DeadLetter(ctx, c.ID)
	if errors.Is(err, &schema.Error{Code: schema.CodeNotFound}) {
		return fmt.Errorf("there is no dead letter %d", c.ID)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		out := letterAsJSON(l)
		out.Headers, out.Base64 = l.Headers, l.Data
		if json.Valid(l.Data) {
			out.Data = l.Data
		}
		return json.NewEncoder(os.Stdout).Encode(out)
	}
	return showLetter(os.Stdout, l)
}

func showLetter(w io.Writer, l postgres.DeadLetter) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "id\t%d\nconsumer\t%s\nmessage\t%s %d\nsubject\t%s\nattempts\t%d\n",
		l.ID, l.Consumer, l.Stream, l.Sequence, cli.Printable(l.Subject), l.Attempts)
	fmt.Fprintf(table, "stored\t%s\ndead-lettered\t%s\nreason\t%s\n",
		l.FirstAt.UTC().Format(time.RFC3339), l.DeadAt.UTC().Format(time.RFC3339),
		cli.Printable(l.Reason))
	for _, name := range slices.Sorted(maps.Keys(l.Headers)) {
		for _, value := range l.Headers[name] {
			fmt.Fprintf(table, "header\t%s: %s\n", cli.Printable(name), cli.Printable(value))
		}
	}
	fmt.Fprintf(table, "data\t%d bytes\n", len(l.Data))
	if err := table.Flush(); err != nil {
		return err
	}
	var indented bytes.Buffer
	text := string(l.Data)
	switch {
	case json.Indent(&indented, l.Data, "", "  ") == nil:
		var safe []string
		for line := range strings.Lines(indented.String()) {
			safe = append(safe, cli.Printable(strings.TrimSuffix(line, "\n")))
		}
		text = strings.Join(safe, "\n") + "\n"
	case !utf8.ValidString(text) || cli.Printable(text) != text:
		text = hex.Dump(l.Data)
	default:
		text += "\n"
	}
	_, err := fmt.Fprint(w, "\n", text)
	return err
}
