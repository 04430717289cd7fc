// Command intray is the whole of Intray in one binary: the stack for one
// machine (up), each of its parts as a process of its own (api, consume,
// gateway), what prepares them (migrate, provision) and what operators use
// (users, status, events, …). It only wires: it is the one place that reads the environment.
package main

import "intray/cmd/internal/cli"

const description = `Document intake: browsers upload straight to MinIO, its events reach NATS
JetStream, consumers confirm each upload, check its owner's quota and sort the
document into topics.

"intray up" runs everything on this machine. In production each part is a
process of its own, configured through the environment (docs/configuration.md).`

type commands struct {
	Up         upCommand          `cmd:"" help:"Run everything on this machine: PostgreSQL, NATS, MinIO, the gateway, the API and the consumers."`
	API        apiCommand         `cmd:"" name:"api" help:"Serve the HTTP API."`
	Consume    consumeCommand     `cmd:"" help:"Run the consumers: confirm, remove, classify and sweep, or some of them."`
	Gateway    gatewayCommand     `cmd:"" help:"Serve the gateway that stands before MinIO."`
	Migrate    migrateCommand     `cmd:"" help:"Bring the database's schema up, down, or tell its version."`
	Provision  provisionCommand   `cmd:"" help:"Make or update roles, streams, consumers, bucket, notifications and access keys."`
	Users      usersCommand       `cmd:"" help:"Add, list, change and remove accounts."`
	Reconcile  reconcileCommand   `cmd:"" help:"Compare bucket and database, and repair what differs."`
	Events     eventsCommand      `cmd:"" help:"List events, tell a document's story, and have events handled again."`
	Status     statusCommand      `cmd:"" help:"Show on one screen how the system is; exit status 1 if something is wrong."`
	Letters    lettersCommand     `cmd:"" name:"deadletters" help:"List, show, retry or drop the messages that consumers gave up."`
	AI         aiCommand          `cmd:"" name:"ai" help:"Check the AI providers."`
	Version    cli.VersionCommand `cmd:"" help:"Print the version, the commit and the platform of this program."`
	NATSServer natsServerCommand  `cmd:"" name:"nats-server" hidden:"" help:"Run the NATS server that \"up\" starts."`
	CheckQueue checkQueueCommand  `cmd:"" hidden:"" help:"Move damaged files of MinIO's event queue aside; run it before MinIO starts."`
	Health     healthCommand      `cmd:"" name:"healthcheck" hidden:"" help:"Exit 0 if a URL answers 200: for containers without curl."`
}

func main() { cli.Main("intray", description, &commands{}) }
