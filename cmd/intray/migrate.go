package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"intray/cmd/internal/cli"
	"intray/consumers/remove"
	"intray/consumers/sweep"
	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/schema"
)

type migrateCommand struct {
	Up      migrateUpCommand      `cmd:"" help:"Bring the schema to this program's version, and delete the objects that this gave up."`
	Down    migrateDownCommand    `cmd:"" help:"Undo the newest migrations. Rows that they deleted do not come back."`
	Version migrateVersionCommand `cmd:"" help:"Print the schema's version."`
}

type migrateUpCommand struct {
	cli.LogSettings       `group:"Logs:"`
	cli.DatabaseSettings  `group:"PostgreSQL and MinIO:"`
	cli.MinIOSettings     `group:"PostgreSQL and MinIO:"`
	cli.WorkerKeySettings `group:"PostgreSQL and MinIO:"`
}

// Help says what the command does while MinIO is unreachable.
func (migrateUpCommand) Help() string {
	return `Each migration is one transaction. Objects that a migration gave up are deleted before the
command ends. With MinIO out of reach the schema stays migrated, the command ends with status 3,
and the consumers delete the rest.`
}

// Run migrates up and carries the object deletions out.
func (c migrateUpCommand) Run(ctx context.Context) error {
	log := c.Logger("migrate")
	if err := postgres.Migrate(ctx, c.DatabaseURL, log); err != nil {
		return err
	}
	db, err := postgres.Open(ctx, c.DatabaseURL, postgres.Options{MaxConns: 4})
	if err != nil {
		return err
	}
	defer db.Close()
	return c.drain(ctx, db, log)
}

// drain deletes the objects that were given up. The sweeper publishes the events of
// what it ends, for NATS need not run yet.
func (c migrateUpCommand) drain(ctx context.Context, db *postgres.DB, log *slog.Logger) error {
	left, err := db.PendingDeletions(ctx)
	if err != nil || left == 0 {
		return err
	}
	objects, err := minio.NewObjects(c.MinIO(c.WorkerKey, c.WorkerSecret))
	if err != nil {
		return err
	}
	defer objects.Close()
	remover := remove.New(db, objects, nobody{}, log)
	done, err := sweep.NewDeletions(db, objects, remover, log).Drain(ctx)
	left, countErr := db.PendingDeletions(ctx)
	if err = errors.Join(err, countErr); err != nil || left > 0 {
		return fmt.Errorf("the schema is migrated; %d objects were deleted and %d are left, "+
			"which \"intray consume\" deletes: %w",
			done, left, errors.Join(errNotAllDeleted, err))
	}
	log.Info("objects deleted", "objects", done)
	return nil
}

var errNotAllDeleted = errors.New("not every object could be deleted")

// nobody publishes nothing.
type nobody struct{}

// TryPublish leaves every document unpublished.
func (nobody) TryPublish(context.Context, []schema.Document) bool { return false }

type migrateDownCommand struct {
	Steps int `default:"1" help:"How many migrations to undo."`

	cli.LogSettings      `group:"Logs:"`
	cli.DatabaseSettings `group:"PostgreSQL:"`
}

// Run migrates down.
func (c migrateDownCommand) Run(ctx context.Context) error {
	return postgres.MigrateDown(ctx, c.DatabaseURL, c.Steps, c.Logger("migrate"))
}

type migrateVersionCommand struct {
	cli.LogSettings      `group:"Logs:"`
	cli.DatabaseSettings `group:"PostgreSQL:"`
}

// Run prints the version, 0 for an empty database.
func (c migrateVersionCommand) Run(ctx context.Context) error {
	version, err := postgres.MigrationVersion(ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, version)
	return err
}
