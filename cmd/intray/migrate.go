package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/google/uuid"

	"intray/cmd/internal/cli"
	"intray/consumers/remove"
	"intray/consumers/sweep"
	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/schema"
)

type migrateCommand struct {
	Up      migrateUpCommand      `cmd:"" help:"Migrate the schema to the version of this program."`
	Down    migrateDownCommand    `cmd:"" help:"Revert the newest migrations. Deleted rows are not restored."`
	Version migrateVersionCommand `cmd:"" help:"Print the version of the schema."`
}

type migrateUpCommand struct {
	cli.LogSettings       `group:"Logs:"`
	cli.DatabaseSettings  `group:"PostgreSQL and MinIO:"`
	cli.MinIOSettings     `group:"PostgreSQL and MinIO:"`
	cli.WorkerKeySettings `group:"PostgreSQL and MinIO:"`
}

// Help describes the migrations and the deletion of objects.
func (migrateUpCommand) Help() string {
	return `Each migration runs in one transaction. Before the command exits, it deletes the objects
that the new schema no longer needs. If MinIO is unreachable, the schema is still migrated, the
command exits with status 3, and the consumers delete the objects later.`
}

// Run migrates the schema and deletes the objects that are marked for deletion.
func (c migrateUpCommand) Run(ctx context.Context) error {
	log := c.Logger("migrate")
	if err := postgres.Migrate(ctx, c.DatabaseURL, log); err != nil {
		return err
	}
	db, err := postgres.Open(c.DatabaseURL, postgres.Options{MaxConns: 4})
	if err != nil {
		return err
	}
	defer db.Close()
	return c.drain(ctx, db, log)
}

// drain deletes the objects that are marked for deletion. It does not publish the events of their
// documents, because NATS may not be running yet; the sweeper publishes them later.
func (c migrateUpCommand) drain(ctx context.Context, db *postgres.DB, log *slog.Logger) error {
	remaining, err := db.PendingDeletions(ctx)
	if err != nil || remaining == 0 {
		return err
	}
	objects, err := minio.NewObjects(c.MinIO(c.WorkerKey, c.WorkerSecret))
	if err != nil {
		return err
	}
	defer objects.Close()
	remover := remove.New(db, objects, noPublisher{}, log)
	deleted, err := sweep.NewDeletions(db, objects, remover, log).Drain(ctx)
	remaining, countErr := db.PendingDeletions(ctx)
	if err = errors.Join(err, countErr); err != nil || remaining > 0 {
		return fmt.Errorf("the schema is migrated, but only %d objects were deleted; "+
			"\"intray consume\" will delete the remaining %d: %w",
			deleted, remaining, errors.Join(errNotAllDeleted, err))
	}
	log.Info("objects deleted", "objects", deleted)
	return nil
}

var errNotAllDeleted = errors.New("some objects could not be deleted")

// noPublisher is a publisher that publishes nothing.
type noPublisher struct{}

// TryPublish leaves the documents unpublished and returns false.
func (noPublisher) TryPublish(context.Context, []schema.Document) bool { return false }

// Hint publishes nothing.
func (noPublisher) Hint(schema.Hint, ...uuid.UUID) {}

type migrateDownCommand struct {
	Steps int `default:"1" help:"Number of migrations to revert."`

	cli.LogSettings      `group:"Logs:"`
	cli.DatabaseSettings `group:"PostgreSQL:"`
}

// Run reverts migrations.
func (c migrateDownCommand) Run(ctx context.Context) error {
	return postgres.MigrateDown(ctx, c.DatabaseURL, c.Steps, c.Logger("migrate"))
}

type migrateVersionCommand struct {
	cli.LogSettings      `group:"Logs:"`
	cli.DatabaseSettings `group:"PostgreSQL:"`
}

// Run prints the version of the schema, which is 0 for an empty database.
func (c migrateVersionCommand) Run(ctx context.Context) error {
	version, err := postgres.MigrationVersion(ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, version)
	return err
}
