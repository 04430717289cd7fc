package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"intray/infra/telemetry/buildinfo"
)

// VersionCommand prints the version of the program.
type VersionCommand struct {
	JSON bool `help:"Print one JSON object."`
}

// Run prints the build information of the program.
func (c VersionCommand) Run(parser *kong.Kong) error {
	info := buildinfo.Read()
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(info)
	}
	return printVersion(os.Stdout, parser.Model.Name, info)
}

func printVersion(out io.Writer, program string, info buildinfo.Info) error {
	date := "unknown"
	if info.CommitDate != nil {
		date = info.CommitDate.Format(time.RFC3339)
	}
	modified := ""
	if info.Modified {
		modified = " (modified)"
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s\t%s\n", program, info.Version)
	fmt.Fprintf(table, "commit\t%s%s\n", info.Commit, modified)
	fmt.Fprintf(table, "commit date\t%s\n", date)
	fmt.Fprintf(table, "go\t%s\n", info.GoVersion)
	fmt.Fprintf(table, "platform\t%s\n", info.Platform)
	return table.Flush()
}
