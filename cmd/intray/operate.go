package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"intray/infra/local"
	"intray/infra/minio"
	"intray/infra/nats"
)

// operatorFlags say which system an operator's command works on.
type operatorFlags struct {
	Data string `type:"path" placeholder:"DIR" help:"Work on the stack that \"intray up\" runs on this data folder. Default: what the environment names, or else up's own default folder."`
}

// system is how an operator's command reaches each part, with all rights.
type system struct {
	Database string // the owner's URL
	NATS     nats.Options
	MinIO    minio.Config
}

type systemSettings struct {
	Database string `env:"DATABASE_URL"`
	NATSURL  string `env:"NATS_URL"`
	Password string `env:"NATS_PASSWORD"`

	Endpoint httpURL `env:"MINIO_ENDPOINT"`
	Bucket   string  `env:"MINIO_BUCKET" envDefault:"documents"`
	Key      string  `env:"MINIO_WORKER_KEY"`
	Secret   string  `env:"MINIO_WORKER_SECRET"`
}

// errNotRunning says that there is no stack to work on.
var errNotRunning = errors.New("nothing runs there")

// find returns the system: that of --data, else the environment's if
// DATABASE_URL is set, else that of the default data folder.
func (f operatorFlags) find() (system, error) {
	s, err := readSettings[systemSettings]()
	if err != nil {
		return system{}, err
	}
	if f.Data == "" && s.Database != "" {
		return system{
			Database: s.Database,
			NATS:     nats.Options{URL: s.NATSURL, User: nats.UserOperator, Password: s.Password},
			MinIO: minio.Config{
				Endpoint: s.Endpoint.Host, Secure: s.Endpoint.Scheme == "https",
				Bucket: s.Bucket, Key: minio.Key{Access: s.Key, Secret: s.Secret},
			},
		}, nil
	}
	dir, err := dataDir(f.Data)
	if err != nil {
		return system{}, err
	}
	return running(dir)
}

// running returns the system that `intray up` runs on a data folder.
func running(dir string) (system, error) {
	stack, err := local.ReadStack(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return system{}, fmt.Errorf("%w: %s has no %s; start \"intray up\", or name its folder with --data, or set DATABASE_URL and the other settings",
			errNotRunning, dir, local.StackFile)
	}
	if err != nil {
		return system{}, err
	}
	server, err := url.Parse(stack.NATS)
	if err != nil {
		return system{}, errors.New("the address of NATS in " + local.StackFile + " cannot be read")
	}
	password, _ := server.User.Password()
	server.User = nil
	return system{
		Database: stack.Postgres,
		NATS:     nats.Options{URL: server.String(), User: nats.UserOperator, Password: password},
		MinIO: minio.Config{
			Endpoint: stack.MinIO.Endpoint, Bucket: stack.MinIO.Bucket,
			Key: minio.Key{Access: stack.MinIO.RootUser, Secret: stack.MinIO.RootPassword},
		},
	}, nil
}

// dataDir returns the data folder: the one given, or the default.
func dataDir(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	s, err := readSettings[upSettings]()
	if err != nil {
		return "", err
	}
	return local.DefaultDir(os.Getuid(), s.DataHome, s.Home), nil
}
