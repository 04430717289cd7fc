// Command intray is the single binary of Intray. It contains the servers (api, consume and
// gateway), the stack for one machine (up), the commands that prepare a deployment (migrate and
// provision) and the commands for operators (status, users, events and so on).
//
// The package contains no logic: it parses flags and the environment, connects the other packages
// and prints. No other package reads the environment.
package main

import "intray/cmd/internal/cli"

const description = `Intray ingests documents. Browsers upload files directly to MinIO, which
publishes an event about each file to NATS JetStream. Consumers confirm the upload, charge the
quota of its owner and classify the document into topics.

To try it, run "intray up", which runs all components on this machine. In production, run each
server as a process of its own ("intray api", "intray consume" and "intray gateway") and configure
it through environment variables (see docs/configuration.md).`

type commands struct {
	Up          upCommand          `cmd:"" help:"Run all components on this machine: PostgreSQL, NATS, MinIO, the gateway, the API and the consumers."`
	API         apiCommand         `cmd:"" name:"api" help:"Serve the HTTP API."`
	Consume     consumeCommand     `cmd:"" help:"Run the consumers confirm, remove, classify and sweep, or some of them."`
	Gateway     gatewayCommand     `cmd:"" help:"Serve the gateway, which forwards uploads and downloads to MinIO."`
	Migrate     migrateCommand     `cmd:"" help:"Migrate the database schema up or down, or print its version."`
	Provision   provisionCommand   `cmd:"" help:"Create or update database roles, streams, the bucket, its notifications and access keys."`
	Users       usersCommand       `cmd:"" help:"Add, list, change and remove accounts."`
	Reconcile   reconcileCommand   `cmd:"" help:"Compare the bucket with the database and repair differences."`
	Events      eventsCommand      `cmd:"" help:"List events, show the history of a document, and replay events."`
	Status      statusCommand      `cmd:"" help:"Show the state of the system; the exit status is 1 if there are problems."`
	DeadLetters deadLettersCommand `cmd:"" name:"deadletters" help:"List, show, retry or drop messages that consumers could not handle."`
	AI          aiCommand          `cmd:"" name:"ai" help:"Check the AI providers."`
	Audit       auditCommand       `cmd:"" help:"List who signed in, changed accounts, downloaded, replayed and repaired."`
	Extract     extractCommand     `cmd:"" help:"Print the text of files as the classifier reads it."`
	Version     cli.VersionCommand `cmd:"" help:"Print the version, the commit and the platform of this program."`
	NATSServer  natsServerCommand  `cmd:"" name:"nats-server" hidden:"" help:"Run the NATS server that \"up\" starts."`
	Health      healthCommand      `cmd:"" name:"healthcheck" hidden:"" help:"Exit with status 0 if a URL responds with 200, for containers without curl."`
}

func main() { cli.Main("intray", description, &commands{}) }
