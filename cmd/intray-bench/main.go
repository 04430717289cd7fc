// Command intray-bench measures a running stack and the builtin classifier against
// what the parts beneath them can do. docs/performance.md and docs/classification.md
// have its figures.
package main

import "intray/cmd/internal/cli"

const description = `Measures what "intray up" runs, and the builtin classifier, against what the parts beneath
them can do. Figures depend on the machine and its load: compare those of one run.`

type commands struct {
	Confirm   confirmCommand     `cmd:"" help:"Measure the way of an upload from MinIO's event to uploaded."`
	API       apiCommand         `cmd:"" name:"api" help:"Measure the API against a handler with one SELECT."`
	Classify  classifyCommand    `cmd:"" help:"Measure the provider builtin on public documents."`
	Documents documentsCommand   `cmd:"" help:"Measure how uploaded documents become classified on a running stack."`
	Version   cli.VersionCommand `cmd:"" help:"Print the version, the commit and the platform of this program."`
}

func main() { cli.Main("intray-bench", description, &commands{}) }
