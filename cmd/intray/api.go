package main

import (
	"context"

	"intray/api"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
)

type apiCommand struct{}

type apiSettings struct {
	Log      logSettings
	Database databaseSettings
	NATS     natsSettings
	MinIO    minioSettings
	Keys     apiKeySettings

	Listen      string   `env:"LISTEN" envDefault:"127.0.0.1:8080"`
	Gateway     httpURL  `env:"GATEWAY_URL,notEmpty"`
	TokenKey    string   `env:"TOKEN_KEY,notEmpty"`
	CORSOrigins []string `env:"CORS_ORIGINS"`
	MaxBytes    int64    `env:"MAX_DOCUMENT_BYTES"`
	Types       []string `env:"ALLOWED_TYPES"`
	MaxPending  int      `env:"MAX_PENDING_DOCUMENTS"`
}

// Help lists what the command reads from the environment.
func (apiCommand) Help() string {
	return `Issues upload and download URLs and answers queries; it never touches a document's bytes.

Environment, required: DATABASE_URL (role api), NATS_URL, NATS_PASSWORD (user api),
MINIO_ENDPOINT, MINIO_UPLOAD_KEY and _SECRET, MINIO_DOWNLOAD_KEY and _SECRET,
MINIO_CONFIRM_KEY and _SECRET, GATEWAY_URL (the gateway's public address, for which URLs
are signed), TOKEN_KEY (32 bytes at least). Optional: LISTEN, MINIO_BUCKET, CORS_ORIGINS,
MAX_DOCUMENT_BYTES, ALLOWED_TYPES, MAX_PENDING_DOCUMENTS, LOG_LEVEL.`
}

// Run serves until ctx ends.
func (apiCommand) Run(ctx context.Context) error {
	s, err := readSettings[apiSettings]()
	if err != nil {
		return err
	}
	log := s.Log.logger("api")
	db, err := postgres.Open(ctx, s.Database.URL, postgres.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := nats.Connect(ctx, nats.Options{URL: s.NATS.URL, User: nats.UserAPI, Password: s.NATS.Password, Name: "api", Log: log})
	if err != nil {
		return err
	}
	defer conn.Close()
	presigner, err := minio.NewPresigner(minio.PresignerConfig{
		Public: &s.Gateway.URL, Bucket: s.MinIO.Bucket,
		Upload:   minio.Key{Access: s.Keys.UploadKey, Secret: s.Keys.UploadSecret},
		Download: minio.Key{Access: s.Keys.DownloadKey, Secret: s.Keys.DownloadSecret},
	})
	if err != nil {
		return err
	}
	objects, err := minio.NewObjects(s.MinIO.config(s.Keys.ConfirmKey, s.Keys.ConfirmSecret))
	if err != nil {
		return err
	}
	defer objects.Close()

	handler, err := api.New(api.Config{
		DB: db, Presigner: presigner, Objects: objects, Announcer: conn,
		TokenKey: []byte(s.TokenKey), AllowedOrigins: s.CORSOrigins, Log: log,
		Limits: api.Limits{MaxSize: s.MaxBytes, AllowedTypes: s.Types, MaxPending: s.MaxPending},
		Parts: []api.Part{
			{Name: "nats", Check: conn.Ping},
			{Name: "minio", Check: func(ctx context.Context) error {
				return minio.Ready(ctx, s.MinIO.Endpoint.Host, s.MinIO.Endpoint.Scheme == "https")
			}},
		},
	})
	if err != nil {
		return err
	}
	defer handler.Close()
	return serve(ctx, api.Server(handler, log), s.Listen, log)
}
