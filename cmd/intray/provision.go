package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"intray/cmd/internal/cli"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

type provisionCommand struct {
	cli.AuditFlags
	RemoveKey []string `placeholder:"NAME" help:"After provisioning, remove this MinIO access key, which another key has replaced. URLs that it signed become invalid."`

	cli.LogSettings `group:"Logs:"`

	cli.DatabaseSettings   `group:"PostgreSQL and NATS:"`
	APIDatabasePassword    string `group:"PostgreSQL and NATS:" name:"api-database-password" env:"API_DATABASE_PASSWORD" secret:"" required:"" placeholder:"PASSWORD" help:"Password to set for the database role api."`
	AuthDatabasePassword   string `group:"PostgreSQL and NATS:" env:"AUTH_DATABASE_PASSWORD" secret:"" required:"" placeholder:"PASSWORD" help:"Password to set for the database role auth."`
	WorkerDatabasePassword string `group:"PostgreSQL and NATS:" env:"WORKER_DATABASE_PASSWORD" secret:"" required:"" placeholder:"PASSWORD" help:"Password to set for the database role worker."`
	cli.NATSSettings       `group:"PostgreSQL and NATS:"`
	streamSettings         `group:"NATS streams:"`

	cli.MinIOSettings     `group:"MinIO:"`
	RootUser              string `group:"MinIO:" name:"minio-root-user" env:"MINIO_ROOT_USER" required:"" placeholder:"USER" help:"Root user of MinIO."`
	RootPassword          string `group:"MinIO:" name:"minio-root-password" env:"MINIO_ROOT_PASSWORD" secret:"" required:"" placeholder:"PASSWORD" help:"Password of the root user of MinIO."`
	cli.APIKeySettings    `group:"MinIO:"`
	cli.WorkerKeySettings `group:"MinIO:"`
}

// streamSettings are the limits of the streams. 0 means the default of a new stream, and leaves one
// that exists as it is.
type streamSettings struct {
	NATSReplicas       int           `name:"nats-replicas" env:"NATS_REPLICAS" placeholder:"1" help:"Number of servers of a NATS cluster that store each message, 1 to 5. A cluster of three needs 3 to survive the loss of a server."`
	NATSBucketBytes    int64         `name:"nats-bucket-bytes" env:"NATS_BUCKET_BYTES" placeholder:"1073741824" help:"Size of the stream BUCKET in bytes, which NATS reserves on its disk."`
	NATSDocumentsBytes int64         `name:"nats-documents-bytes" env:"NATS_DOCUMENTS_BYTES" placeholder:"1073741824" help:"Size of the stream DOCUMENTS in bytes."`
	NATSReplayBytes    int64         `name:"nats-replay-bytes" env:"NATS_REPLAY_BYTES" placeholder:"536870912" help:"Size of the stream REPLAY in bytes."`
	NATSMaxAge         time.Duration `name:"nats-max-age" env:"NATS_MAX_AGE" placeholder:"720h" help:"Time for which the streams keep messages, so that they can be replayed."`
}

// limits returns the limits of the streams.
func (s streamSettings) limits() nats.StreamLimits {
	return nats.StreamLimits{
		MaxAge: s.NATSMaxAge, Replicas: s.NATSReplicas, BucketBytes: s.NATSBucketBytes,
		DocumentsBytes: s.NATSDocumentsBytes, ReplayBytes: s.NATSReplayBytes,
	}
}

// Validate returns an error if a limit is out of range.
func (s streamSettings) Validate() error {
	if s.NATSReplicas < 0 || s.NATSReplicas > 5 {
		return cli.Usage(errors.New("NATS_REPLICAS must be 1 to 5 (see docs/configuration.md)"))
	}
	const minBytes = 1 << 20
	for name, bytes := range map[string]int64{
		"NATS_BUCKET_BYTES": s.NATSBucketBytes, "NATS_DOCUMENTS_BYTES": s.NATSDocumentsBytes,
		"NATS_REPLAY_BYTES": s.NATSReplayBytes,
	} {
		if bytes != 0 && bytes < minBytes {
			return cli.Usage(fmt.Errorf(
				"%s must be at least %d (see docs/configuration.md)", name, minBytes))
		}
	}
	if s.NATSMaxAge != 0 && s.NATSMaxAge < time.Hour {
		return cli.Usage(errors.New("NATS_MAX_AGE must be at least 1h (see docs/configuration.md)"))
	}
	return nil
}

// Help describes when to run the command.
func (provisionCommand) Help() string {
	return `Creates what is missing and updates what differs: the passwords of the database roles,
the streams and consumers of NATS, and the bucket, notifications and access keys of MinIO. It
raises the replicas, the size or the age of a stream that exists only if the setting is given, and
never lowers them. Run it at each deployment, after "intray migrate up" and before the servers
start.`
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
			URL: c.NATSURL, User: nats.UserOperator, Password: c.NATSPassword, CA: c.NATSCA,
			Name: "provision", Log: log,
		})
		if err != nil {
			return err
		}
		defer conn.Close()
		return nats.Provision(gctx, conn, c.limits())
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

// provisionDatabase sets the passwords of the roles, records in the audit trail that passwords and
// access keys are set, and adds the starter topics to an empty database.
func (c provisionCommand) provisionDatabase(ctx context.Context) error {
	err := postgres.ProvisionRoles(ctx, c.DatabaseURL, postgres.RolePasswords{
		API: c.APIDatabasePassword, Auth: c.AuthDatabasePassword, Worker: c.WorkerDatabasePassword,
	})
	if err != nil {
		return err
	}
	db, err := postgres.Open(c.DatabaseURL, c.Options(postgres.Options{MaxConns: 1}))
	if err != nil {
		return err
	}
	defer db.Close()
	err = db.RecordOperation(ctx, schema.AuditProvisioned,
		map[string]any{"access_keys_to_remove": len(c.RemoveKey)})
	if err != nil {
		return err
	}
	if _, err := db.SeedTopics(ctx, schema.StarterTopics); err != nil {
		return fmt.Errorf("seed system topics: %w", err)
	}
	return nil
}
