// Command intray-bench measures a running stack and the builtin classifier, and compares them with
// the limits of the components that they use. Its results are in docs/performance.md and
// docs/classification.md.
package main

import "intray/cmd/internal/cli"

const description = `Measures a stack that "intray up" runs and the builtin classifier, and
compares them with the limits of the components that they use. The figures depend on the machine and
its load. Compare only figures of the same run.`

type commands struct {
	Confirm   confirmCommand     `cmd:"" help:"Measure the confirmation of uploads, from MinIO's event to uploaded."`
	API       apiCommand         `cmd:"" name:"api" help:"Measure the API, compared with a handler that executes one SELECT."`
	Classify  classifyCommand    `cmd:"" help:"Measure the builtin provider with public documents."`
	Documents documentsCommand   `cmd:"" help:"Measure how fast uploaded documents are classified."`
	Uploads   uploadsCommand     `cmd:"" help:"Measure sustained uploads, from the URL request to classified, and their cost."`
	Version   cli.VersionCommand `cmd:"" help:"Print the version, the commit and the platform of this program."`
}

func main() { cli.Main("intray-bench", description, &commands{}) }
