package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path/filepath"

	"github.com/google/uuid"

	"intray/infra/local"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

// DataFlags select a stack that "intray up" runs.
type DataFlags struct {
	Data string `type:"path" placeholder:"DIR" help:"Use the stack that \"intray up\" runs with this data folder. Default: the system that the environment names, or else the stack with the default data folder."`
}

// OwnerFlags select the database that an operator's command connects to as the owner.
type OwnerFlags struct {
	DataFlags
	DatabaseURL string `group:"System (instead of --data):" env:"DATABASE_URL" secret:"" placeholder:"URL" help:"URL of the database with its owner as the role: postgres://ROLE:PASSWORD@HOST:PORT/intray?sslmode=MODE. Separate several hosts with commas; the one that accepts writes is used."`
}

// HintFlags select the database that an operator's command connects to as the owner, and NATS, to
// which it publishes hints.
type HintFlags struct {
	OwnerFlags
	natsFlags `group:"System (instead of --data):"`
}

// OperatorFlags select the system that an operator's command works on.
type OperatorFlags struct {
	OwnerFlags
	natsFlags  `group:"System (instead of --data):"`
	minioFlags `group:"System (instead of --data):"`
}

type natsFlags struct {
	NATSCA       string `name:"nats-ca" env:"NATS_CA" placeholder:"FILE" help:"File with the certificates, in PEM format, that NATS must have or that must have signed its certificate."`
	NATSURL      string `name:"nats-url" env:"NATS_URL" placeholder:"URL" help:"URL of NATS without a password: nats://HOST:PORT. Separate several URLs with commas."`
	NATSPassword string `name:"nats-password" env:"NATS_PASSWORD" secret:"" placeholder:"PASSWORD" help:"Password of the NATS user operator."`
}

// options returns how to connect to the NATS server that the flags name.
func (f natsFlags) options() nats.Options {
	return nats.Options{
		URL: f.NATSURL, User: nats.UserOperator, Password: f.NATSPassword, CA: f.NATSCA,
	}
}

type minioFlags struct {
	MinIOEndpoint     HTTPURL `name:"minio-endpoint" env:"MINIO_ENDPOINT" placeholder:"URL" help:"URL of MinIO itself, not of the gateway: http://HOST:PORT."`
	MinIOBucket       string  `name:"minio-bucket" env:"MINIO_BUCKET" default:"documents" help:"Bucket that stores the documents."`
	MinIOWorkerKey    string  `name:"minio-worker-key" env:"MINIO_WORKER_KEY" placeholder:"KEY" help:"MinIO access key of the consumers."`
	MinIOWorkerSecret string  `name:"minio-worker-secret" env:"MINIO_WORKER_SECRET" secret:"" placeholder:"SECRET" help:"Secret of MINIO_WORKER_KEY."`
}

// System describes how an operator's command connects to each component.
type System struct {
	Database string // URL of the database with its owner as the role
	NATS     nats.Options
	MinIO    minio.Config
}

// AuditFlags name who makes a change, and why, for the audit trail.
type AuditFlags struct {
	Actor  string `placeholder:"NAME" help:"Who makes the change, for the audit trail. Default: USER@HOST."`
	Reason string `placeholder:"TEXT" help:"Reason for the change, for the audit trail."`
}

// Options returns the options with the actor and the reason.
func (f AuditFlags) Options(o postgres.Options) postgres.Options {
	o.Actor, o.Reason = cmp.Or(f.Actor, DefaultActor()), f.Reason
	return o
}

// DefaultActor returns the name of the operating system's user and of the host, as USER@HOST.
func DefaultActor() string {
	actor := "unknown"
	if u, err := user.Current(); err == nil {
		actor = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		actor += "@" + host
	}
	return actor
}

// Local reports whether the command works on a stack of "intray up": either the one that --data
// names, or, without DATABASE_URL, the one with the default data folder.
func (f OwnerFlags) Local() bool { return f.Data != "" || f.DatabaseURL == "" }

// Find returns the system that --data names. Without --data it returns the system of the
// settings if DATABASE_URL is set, and otherwise the stack with the default data folder.
func (f OperatorFlags) Find() (System, error) {
	if f.Local() {
		return f.running()
	}
	return System{
		Database: f.DatabaseURL,
		NATS:     f.options(),
		MinIO: minio.Config{
			Endpoint: f.MinIOEndpoint.Host, Secure: f.MinIOEndpoint.Secure(), Bucket: f.MinIOBucket,
			Key: minio.Key{Access: f.MinIOWorkerKey, Secret: f.MinIOWorkerSecret},
		},
	}, nil
}

// OpenOwner opens the database as its owner, for a command that changes nothing.
func (f OwnerFlags) OpenOwner() (*postgres.DB, error) { return f.OpenOwnerFor(AuditFlags{}) }

// OpenOwnerFor opens the database as its owner, for changes that the audit trail records with the
// actor and the reason.
func (f OwnerFlags) OpenOwnerFor(audit AuditFlags) (*postgres.DB, error) {
	address := f.DatabaseURL
	if f.Local() {
		s, err := f.running()
		if err != nil {
			return nil, err
		}
		address = s.Database
	}
	return postgres.Open(address, audit.Options(postgres.Options{MaxConns: 2}))
}

// PublishHint publishes a hint for a user after a commit. Without NATS, or if it does not answer,
// the hint is lost.
func (f HintFlags) PublishHint(ctx context.Context, h schema.Hint, user uuid.UUID) {
	options := f.options()
	if f.Local() {
		s, err := f.running()
		if err != nil {
			return
		}
		options = s.NATS
	}
	if options.URL == "" {
		return
	}
	options.Name, options.Log = "hints", slog.New(slog.DiscardHandler)
	conn, err := nats.Connect(ctx, options)
	if err != nil {
		return
	}
	conn.Hint(h, user)
	conn.Close()
}

// running returns the system that "intray up" runs with the data folder.
func (f DataFlags) running() (System, error) {
	dir, err := DataDir(f.Data)
	if err != nil {
		return System{}, err
	}
	return Running(dir)
}

// Running returns the system that "intray up" runs with the data folder dir. It fails with
// ErrUnreachable if none runs.
func Running(dir string) (System, error) {
	stack, err := local.ReadStack(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return System{}, fmt.Errorf("%w: %s does not exist; start \"intray up\", "+
			"name its data folder with --data, or set DATABASE_URL and the other settings",
			ErrUnreachable, filepath.Join(dir, local.StackFile))
	}
	if err != nil {
		return System{}, err
	}
	server, err := url.Parse(stack.NATS)
	if err != nil {
		return System{}, errors.New("the URL of NATS in " + local.StackFile + " is invalid")
	}
	password, _ := server.User.Password()
	server.User = nil
	return System{
		Database: local.VerifiedPostgres(stack.Postgres, dir),
		NATS: nats.Options{
			URL: server.String(), User: nats.UserOperator, Password: password,
			CA: filepath.Join(dir, local.CAFile),
		},
		MinIO: minio.Config{
			Endpoint: stack.MinIO.Endpoint, Bucket: stack.MinIO.Bucket,
			Key: minio.Key{Access: stack.MinIO.RootUser, Secret: stack.MinIO.RootPassword},
		},
	}, nil
}

// DataDir returns the given data folder, or the default data folder if given is empty.
func DataDir(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	dir := local.DefaultDir(os.Getuid(), os.Getenv("XDG_DATA_HOME"), os.Getenv("HOME"))
	if !filepath.IsAbs(dir) {
		return "", Usage(errors.New("HOME is not set; name the data folder with --data"))
	}
	return dir, nil
}

// CacheDir returns the folder for downloaded and built programs. All data folders share it.
func CacheDir() string {
	return local.DefaultCacheDir(os.Getuid(), os.Getenv("XDG_CACHE_HOME"), os.Getenv("HOME"))
}

// Healthy requests a URL once and fails unless the status of the response is 200.
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
		return fmt.Errorf("GET %s: %s", address, resp.Status)
	}
	return nil
}
