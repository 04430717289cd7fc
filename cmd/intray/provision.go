package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"intray/cmd/internal/cli"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

type provisionCommand struct {
	RemoveKey []string `placeholder:"NAME" help:"Then remove this access key of MinIO, which another one has replaced; URLs signed with it end."`
}

type provisionSettings struct {
	Log      cli.LogSettings
	Database cli.DatabaseSettings
	NATS     cli.NATSSettings
	MinIO    cli.MinIOSettings
	API      cli.APIKeySettings
	Worker   cli.WorkerKeySettings

	APIDatabasePassword    string `env:"API_DATABASE_PASSWORD,notEmpty"`
	WorkerDatabasePassword string `env:"WORKER_DATABASE_PASSWORD,notEmpty"`
	RootUser               string `env:"MINIO_ROOT_USER,notEmpty"`
	RootPassword           string `env:"MINIO_ROOT_PASSWORD,notEmpty"`
}

// Help lists what the command reads from the environment.
func (provisionCommand) Help() string {
	return `Run it after "intray migrate up" and before the servers, at each deployment: it
makes what is missing, updates what differs, and leaves the rest alone.

Environment (all required but MINIO_BUCKET and LOG_LEVEL): DATABASE_URL (the owner's),
API_DATABASE_PASSWORD, WORKER_DATABASE_PASSWORD, NATS_URL, NATS_PASSWORD (the operator's),
MINIO_ENDPOINT, MINIO_ROOT_USER, MINIO_ROOT_PASSWORD, MINIO_UPLOAD_KEY and _SECRET,
MINIO_MULTIPART_KEY and _SECRET, MINIO_DOWNLOAD_KEY and _SECRET, MINIO_CONFIRM_KEY and
_SECRET, MINIO_WORKER_KEY and _SECRET.`
}

// Run provisions once.
func (c provisionCommand) Run(ctx context.Context) error {
	s, err := cli.ReadSettings[provisionSettings]()
	if err != nil {
		return err
	}
	if err := provision(ctx, s, s.Log.Logger("provision")); err != nil {
		return err
	}
	for _, name := range c.RemoveKey {
		if err := minio.RemoveKey(ctx, s.admin(), name); err != nil {
			return err
		}
	}
	return nil
}

// provision readies NATS first, for MinIO's events are refused while their
// stream is missing; the database beside it.
func provision(ctx context.Context, s provisionSettings, log *slog.Logger) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return provisionDatabase(gctx, s)
	})
	g.Go(func() error {
		conn, err := nats.Connect(gctx, nats.Options{URL: s.NATS.URL, User: nats.UserOperator, Password: s.NATS.Password, Name: "provision", Log: log})
		if err != nil {
			return err
		}
		defer conn.Close()
		return nats.Provision(gctx, conn, nats.StreamLimits{})
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return minio.Provision(ctx, s.admin())
}

func (s provisionSettings) admin() minio.Admin {
	return minio.Admin{
		Endpoint: s.MinIO.Endpoint.Host, Secure: s.MinIO.Endpoint.Scheme == "https",
		RootUser: s.RootUser, RootPassword: s.RootPassword, Bucket: s.MinIO.Bucket,
		Keys: minio.Keys{
			Upload:    minio.Key{Access: s.API.UploadKey, Secret: s.API.UploadSecret},
			Multipart: minio.Key{Access: s.API.MultipartKey, Secret: s.API.MultipartSecret},
			Download:  minio.Key{Access: s.API.DownloadKey, Secret: s.API.DownloadSecret},
			Confirm:   minio.Key{Access: s.API.ConfirmKey, Secret: s.API.ConfirmSecret},
			Worker:    minio.Key{Access: s.Worker.WorkerKey, Secret: s.Worker.WorkerSecret},
		},
	}
}

// provisionDatabase gives the roles their passwords and an empty database its
// starter topics.
func provisionDatabase(ctx context.Context, s provisionSettings) error {
	if err := postgres.ProvisionRoles(ctx, s.Database.URL, s.APIDatabasePassword, s.WorkerDatabasePassword); err != nil {
		return err
	}
	db, err := postgres.Open(ctx, s.Database.URL, postgres.Options{MaxConns: 1})
	if err != nil {
		return err
	}
	if _, err := db.SeedTopics(ctx, schema.StarterTopics); err != nil {
		return errors.Join(fmt.Errorf("seed system topics: %w", err), db.Close())
	}
	return db.Close()
}
