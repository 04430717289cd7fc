package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"intray/infra/local"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
)

// DataFlags name a stack that "intray up" runs.
type DataFlags struct {
	Data string `type:"path" placeholder:"DIR" help:"Work on the stack that \"intray up\" runs on this data folder. Default: what the environment names, or else up's own default folder."`
}

// OwnerFlags say in which database an operator's command works, as the owner.
type OwnerFlags struct {
	DataFlags
	DatabaseURL string `group:"System, unless --data names it:" env:"DATABASE_URL" secret:"" placeholder:"URL" help:"The database, as its owner: postgres://ROLE:PASSWORD@HOST:PORT/intray?sslmode=…."`
}

// OperatorFlags say which system an operator's command works on.
type OperatorFlags struct {
	OwnerFlags
	systemFlags `group:"System, unless --data names it:"`
}

type systemFlags struct {
	NATSURL           string  `name:"nats-url" env:"NATS_URL" placeholder:"URL" help:"nats://HOST:PORT, or several separated by commas, without a password."`
	NATSPassword      string  `name:"nats-password" env:"NATS_PASSWORD" secret:"" placeholder:"PASSWORD" help:"The password of the NATS user operator."`
	MinIOEndpoint     HTTPURL `name:"minio-endpoint" env:"MINIO_ENDPOINT" placeholder:"URL" help:"MinIO itself, past the gateway: http://HOST:PORT."`
	MinIOBucket       string  `name:"minio-bucket" env:"MINIO_BUCKET" default:"documents" help:"The bucket of the documents."`
	MinIOWorkerKey    string  `name:"minio-worker-key" env:"MINIO_WORKER_KEY" placeholder:"KEY" help:"The consumers' access key."`
	MinIOWorkerSecret string  `name:"minio-worker-secret" env:"MINIO_WORKER_SECRET" secret:"" placeholder:"SECRET" help:"Its secret."`
}

// System is how an operator's command reaches each part, with all rights.
type System struct {
	Database string // the owner's URL
	NATS     nats.Options
	MinIO    minio.Config
}

// Local reports whether the command works on a stack of "intray up": one that --data
// names, or, with no DATABASE_URL, the one on the default data folder.
func (f OwnerFlags) Local() bool { return f.Data != "" || f.DatabaseURL == "" }

// Find returns the system: that of --data, else that of the settings if
// DATABASE_URL is set, else that of the default data folder.
func (f OperatorFlags) Find() (System, error) {
	if f.Local() {
		return f.running()
	}
	return System{
		Database: f.DatabaseURL,
		NATS:     nats.Options{URL: f.NATSURL, User: nats.UserOperator, Password: f.NATSPassword},
		MinIO: minio.Config{
			Endpoint: f.MinIOEndpoint.Host, Secure: f.MinIOEndpoint.Secure(), Bucket: f.MinIOBucket,
			Key: minio.Key{Access: f.MinIOWorkerKey, Secret: f.MinIOWorkerSecret},
		},
	}, nil
}

// OpenOwner connects to the database as its owner.
func (f OwnerFlags) OpenOwner(ctx context.Context) (*postgres.DB, error) {
	address := f.DatabaseURL
	if f.Local() {
		s, err := f.running()
		if err != nil {
			return nil, err
		}
		address = s.Database
	}
	return postgres.Open(ctx, address, postgres.Options{MaxConns: 2})
}

// running returns the system that "intray up" runs on the data folder.
func (f DataFlags) running() (System, error) {
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
		return System{}, fmt.Errorf("%w: %s has no %s; start \"intray up\", "+
			"or name its folder with --data, or set DATABASE_URL and the other settings",
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

// DataDir returns the data folder: the one given, or up's default.
func DataDir(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	dir := local.DefaultDir(os.Getuid(), os.Getenv("XDG_DATA_HOME"), os.Getenv("HOME"))
	if !filepath.IsAbs(dir) {
		return "", Usage(errors.New("HOME is not set: name the data folder with --data"))
	}
	return dir, nil
}

// CacheDir returns the folder for programs that were fetched or built, which all data
// folders share.
func CacheDir() string {
	return local.DefaultCacheDir(os.Getuid(), os.Getenv("XDG_CACHE_HOME"), os.Getenv("HOME"))
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
