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

type migrateSettings struct {
	Log      cli.LogSettings
	Database cli.DatabaseSettings
	MinIO    cli.MinIOSettings
	Key      cli.WorkerKeySettings
}

type migrateUpCommand struct{}

// Help says what the command does when MinIO is away, and lists what it reads
// from the environment.
func (migrateUpCommand) Help() string {
	return `Each migration is one transaction. Objects that a migration gave up are deleted before
the command ends. With MinIO out of reach the schema stays migrated, the command ends
with status 3, and the consumers delete the rest.

Environment, required: DATABASE_URL (the owner's), MINIO_ENDPOINT, MINIO_WORKER_KEY and
_SECRET. Optional: MINIO_BUCKET, LOG_LEVEL.`
}

// Run migrates up and carries the object deletions out.
func (migrateUpCommand) Run(ctx context.Context) error {
	s, err := cli.ReadSettings[migrateSettings]()
	if err != nil {
		return err
	}
	log := s.Log.Logger("migrate")
	if err := postgres.Migrate(ctx, s.Database.URL, log); err != nil {
		return err
	}
	db, err := postgres.Open(ctx, s.Database.URL, postgres.Options{MaxConns: 4})
	if err != nil {
		return err
	}
	defer db.Close()
	return s.drain(ctx, db, log)
}

// drain deletes the objects that were given up. What it ends is announced by
// the consumers' sweeper, for NATS need not run yet.
func (s migrateSettings) drain(ctx context.Context, db *postgres.DB, log *slog.Logger) error {
	left, err := db.PendingDeletions(ctx)
	if err != nil || left == 0 {
		return err
	}
	objects, err := minio.NewObjects(s.MinIO.Config(s.Key.WorkerKey, s.Key.WorkerSecret))
	if err != nil {
		return err
	}
	defer objects.Close()
	remover := remove.New(db, objects, nobody{}, log)
	done, err := sweep.NewDeletions(db, objects, remover, log).Drain(ctx)
	left, countErr := db.PendingDeletions(ctx)
	if err = errors.Join(err, countErr); err != nil || left > 0 {
		return fmt.Errorf("the schema is migrated; %d objects were deleted and %d are left, which \"intray consume\" deletes: %w",
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

type ownerSettings struct {
	Log      cli.LogSettings
	Database cli.DatabaseSettings
}

type migrateDownCommand struct {
	Steps int `default:"1" help:"How many migrations to undo."`
}

// Run migrates down.
func (c migrateDownCommand) Run(ctx context.Context) error {
	s, err := cli.ReadSettings[ownerSettings]()
	if err != nil {
		return err
	}
	return postgres.MigrateDown(ctx, s.Database.URL, c.Steps, s.Log.Logger("migrate"))
}

type migrateVersionCommand struct{}

// Run prints the version, 0 for an empty database.
func (migrateVersionCommand) Run(ctx context.Context) error {
	s, err := cli.ReadSettings[ownerSettings]()
	if err != nil {
		return err
	}
	version, err := postgres.MigrationVersion(ctx, s.Database.URL)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, version)
	return err
}
