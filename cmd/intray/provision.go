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
	RemoveKey []string `placeholder:"NAME" help:"After provisioning, remove this MinIO access key, which another key has replaced. URLs that it signed become invalid."`

	cli.LogSettings `group:"Logs:"`

	cli.DatabaseSettings   `group:"PostgreSQL and NATS:"`
	APIDatabasePassword    string `group:"PostgreSQL and NATS:" name:"api-database-password" env:"API_DATABASE_PASSWORD" secret:"" required:"" placeholder:"PASSWORD" help:"Password to set for the database role api."`
	WorkerDatabasePassword string `group:"PostgreSQL and NATS:" env:"WORKER_DATABASE_PASSWORD" secret:"" required:"" placeholder:"PASSWORD" help:"Password to set for the database role worker."`
	cli.NATSSettings       `group:"PostgreSQL and NATS:"`

	cli.MinIOSettings     `group:"MinIO:"`
	RootUser              string `group:"MinIO:" name:"minio-root-user" env:"MINIO_ROOT_USER" required:"" placeholder:"USER" help:"Root user of MinIO."`
	RootPassword          string `group:"MinIO:" name:"minio-root-password" env:"MINIO_ROOT_PASSWORD" secret:"" required:"" placeholder:"PASSWORD" help:"Password of the root user of MinIO."`
	cli.APIKeySettings    `group:"MinIO:"`
	cli.WorkerKeySettings `group:"MinIO:"`
}

// Help describes when to run the command.
func (provisionCommand) Help() string {
	return `Creates what is missing and updates what differs: the passwords of the database roles,
the streams and consumers of NATS, and the bucket, notifications and access keys of MinIO. Run it
at each deployment, after "intray migrate up" and before the servers start.`
}

// Run provisions PostgreSQL, NATS and MinIO, and then removes the keys of --remove-key.
func (c provisionCommand) Run(ctx context.Context) error {
	if err := c.provision(ctx, c.Logger("provision")); err != nil {
		return err
	}
	for _, name := range c.RemoveKey {
		if err := minio.RemoveKey(ctx, c.admin(), name); err != nil {
			return err
		}
	}
	return nil
}

// provision provisions PostgreSQL and NATS concurrently, and MinIO last. MinIO could not publish
// its events before their stream exists.
func (c provisionCommand) provision(ctx context.Context, log *slog.Logger) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return c.provisionDatabase(gctx)
	})
	g.Go(func() error {
		conn, err := nats.Connect(gctx, nats.Options{
			URL: c.NATSURL, User: nats.UserOperator, Password: c.NATSPassword,
			Name: "provision", Log: log,
		})
		if err != nil {
			return err
		}
		defer conn.Close()
		return nats.Provision(gctx, conn, nats.StreamLimits{})
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return minio.Provision(ctx, c.admin())
}

func (c provisionCommand) admin() minio.Admin {
	return minio.Admin{
		Endpoint: c.MinIOEndpoint.Host, Secure: c.MinIOEndpoint.Secure(),
		RootUser: c.RootUser, RootPassword: c.RootPassword, Bucket: c.MinIOBucket,
		Keys: minio.Keys{
			Upload:    minio.Key{Access: c.UploadKey, Secret: c.UploadSecret},
			Multipart: minio.Key{Access: c.MultipartKey, Secret: c.MultipartSecret},
			Download:  minio.Key{Access: c.DownloadKey, Secret: c.DownloadSecret},
			Confirm:   minio.Key{Access: c.ConfirmKey, Secret: c.ConfirmSecret},
			Worker:    minio.Key{Access: c.WorkerKey, Secret: c.WorkerSecret},
		},
	}
}

// provisionDatabase sets the passwords of the roles, and adds the starter topics to an empty
// database.
func (c provisionCommand) provisionDatabase(ctx context.Context) error {
	err := postgres.ProvisionRoles(
		ctx, c.DatabaseURL, c.APIDatabasePassword, c.WorkerDatabasePassword)
	if err != nil {
		return err
	}
	db, err := postgres.Open(c.DatabaseURL, postgres.Options{MaxConns: 1})
	if err != nil {
		return err
	}
	if _, err := db.SeedTopics(ctx, schema.StarterTopics); err != nil {
		return errors.Join(fmt.Errorf("seed system topics: %w", err), db.Close())
	}
	return db.Close()
}
