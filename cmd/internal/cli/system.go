package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"

	"intray/infra/local"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
)

// OperatorFlags say which system an operator's command works on.
type OperatorFlags struct {
	Data string `type:"path" placeholder:"DIR" help:"Work on the stack that \"intray up\" runs on this data folder. Default: what the environment names, or else up's own default folder."`
}

// System is how an operator's command reaches each part, with all rights.
type System struct {
	Database string // the owner's URL
	NATS     nats.Options
	MinIO    minio.Config
}

type systemSettings struct {
	Database string `env:"DATABASE_URL"`
	NATSURL  string `env:"NATS_URL"`
	Password string `env:"NATS_PASSWORD"`

	Endpoint HTTPURL `env:"MINIO_ENDPOINT"`
	Bucket   string  `env:"MINIO_BUCKET" envDefault:"documents"`
	Key      string  `env:"MINIO_WORKER_KEY"`
	Secret   string  `env:"MINIO_WORKER_SECRET"`
}

// Find returns the system: that of --data, else the environment's if
// DATABASE_URL is set, else that of the default data folder.
func (f OperatorFlags) Find() (System, error) {
	s, err := ReadSettings[systemSettings]()
	if err != nil {
		return System{}, err
	}
	if f.Data == "" && s.Database != "" {
		return System{
			Database: s.Database,
			NATS:     nats.Options{URL: s.NATSURL, User: nats.UserOperator, Password: s.Password},
			MinIO: minio.Config{
				Endpoint: s.Endpoint.Host, Secure: s.Endpoint.Scheme == "https",
				Bucket: s.Bucket, Key: minio.Key{Access: s.Key, Secret: s.Secret},
			},
		}, nil
	}
	dir, err := DataDir(f.Data)
	if err != nil {
		return System{}, err
	}
	return Running(dir)
}

// Running returns the system that `intray up` runs on a data folder.
func Running(dir string) (System, error) {
	stack, err := local.ReadStack(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return System{}, fmt.Errorf("%w: %s has no %s; start \"intray up\", or name its folder with --data, or set DATABASE_URL and the other settings",
			ErrUnreachable, dir, local.StackFile)
	}
	if err != nil {
		return System{}, err
	}
	server, err := url.Parse(stack.NATS)
	if err != nil {
		return System{}, errors.New("the address of NATS in " + local.StackFile + " cannot be read")
	}
	password, _ := server.User.Password()
	server.User = nil
	return System{
		Database: stack.Postgres,
		NATS:     nats.Options{URL: server.String(), User: nats.UserOperator, Password: password},
		MinIO: minio.Config{
			Endpoint: stack.MinIO.Endpoint, Bucket: stack.MinIO.Bucket,
			Key: minio.Key{Access: stack.MinIO.RootUser, Secret: stack.MinIO.RootPassword},
		},
	}, nil
}

// DataDir returns the data folder: the one given, or the default.
func DataDir(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	s, err := ReadSettings[UpSettings]()
	if err != nil {
		return "", err
	}
	return local.DefaultDir(os.Getuid(), s.DataHome, s.Home), nil
}

// UpSettings say where "intray up" finds its programs and keeps its data.
type UpSettings struct {
	PGBin    string `env:"PG_BIN"`
	MinIOBin string `env:"MINIO_BIN"`
	DataHome string `env:"XDG_DATA_HOME"`
	Cache    string `env:"XDG_CACHE_HOME"`
	Home     string `env:"HOME"`
}

// CacheDir returns the folder for programs that were fetched or built, which all
// data folders share.
func (s UpSettings) CacheDir() string { return local.DefaultCacheDir(os.Getuid(), s.Cache, s.Home) }

// OpenOwner connects to the database as its owner.
func (f OperatorFlags) OpenOwner(ctx context.Context) (*postgres.DB, error) {
	s, err := f.Find()
	if err != nil {
		return nil, err
	}
	return postgres.Open(ctx, s.Database, postgres.Options{MaxConns: 2})
}

// Healthy asks a URL once and fails unless it answers 200.
func Healthy(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return Usage(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", address, resp.Status)
	}
	return nil
}
