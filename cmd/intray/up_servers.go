package main

import (
	"cmp"
	"context"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/alecthomas/kong"

	"intray/cmd/internal/cli"
	"intray/consumers/classify/builtin"
	"intray/infra/local"
	"intray/infra/nats"
)

// bucket is the name of the bucket of the stack.
const bucket = "documents"

// environment holds the addresses and credentials that up sets for its processes.
type environment struct {
	servers *local.Servers
	listen  string            // the API's address
	ports   map[string]int    // gateway, api_metrics, consume_metrics, gateway_metrics
	secrets map[string]string // by the secret names below
}

// The names of the secrets in the data folder.
const (
	secretToken     = "token_key"
	secretAPI       = "postgres_api"
	secretAuth      = "postgres_auth"
	secretWorker    = "postgres_worker"
	secretUpload    = "minio_upload"
	secretMultipart = "minio_multipart"
	secretDownload  = "minio_download"
	secretConfirm   = "minio_confirm"
	secretConsume   = "minio_worker"
)

func newEnvironment(
	ctx context.Context, servers *local.Servers, listen string,
) (environment, error) {
	e := environment{
		servers: servers, listen: listen, ports: make(map[string]int), secrets: make(map[string]string),
	}
	for _, name := range []string{
		secretToken, secretAPI, secretAuth, secretWorker, secretUpload,
		secretMultipart, secretDownload, secretConfirm, secretConsume,
	} {
		for _, n := range []string{name, name + "_name"} {
			secret, err := servers.Secret(n)
			if err != nil {
				return e, err
			}
			e.secrets[n] = secret
		}
	}
	names := []string{"gateway"}
	for _, server := range ownServers {
		names = append(names, metricsPort(server))
	}
	for _, name := range names {
		port, err := servers.Port(ctx, name)
		if err != nil {
			return e, err
		}
		e.ports[name] = port
	}
	return e, nil
}

// metricsPort returns the name under which the port of a server's private listener is stored.
func metricsPort(server string) string { return server + "_metrics" }

func (e environment) address(name string) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(e.ports[name]))
}

func (e environment) apiURL() string     { return "http://" + e.listen }
func (e environment) gatewayURL() string { return "http://" + e.address("gateway") }

// key returns an access key and its secret, truncated to the maximum lengths of MinIO.
func (e environment) key(name string) (access, secret string) {
	return e.secrets[name+"_name"][:20], e.secrets[name][:40]
}

// provision returns the command that provisions the stack.
func (e environment) provision() provisionCommand {
	var s provisionCommand
	s.DatabaseURL = e.servers.PostgresURL()
	s.NATSURL, s.NATSPassword = e.servers.NATSURL(), e.servers.NATSPassword(nats.UserOperator)
	s.NATSCA = e.servers.CA()
	s.MinIOEndpoint.URL = url.URL{Scheme: "http", Host: e.servers.MinIOEndpoint()}
	s.MinIOBucket = bucket
	s.UploadKey, s.UploadSecret = e.key(secretUpload)
	s.MultipartKey, s.MultipartSecret = e.key(secretMultipart)
	s.DownloadKey, s.DownloadSecret = e.key(secretDownload)
	s.ConfirmKey, s.ConfirmSecret = e.key(secretConfirm)
	s.WorkerKey, s.WorkerSecret = e.key(secretConsume)
	s.APIDatabasePassword, s.AuthDatabasePassword = e.secrets[secretAPI], e.secrets[secretAuth]
	s.WorkerDatabasePassword = e.secrets[secretWorker]
	s.RootUser, s.RootPassword = e.servers.MinIORoot()
	return s
}

// ownServers are the commands that up runs as Intray's own servers. They are started in this order
// and stopped in the reverse order.
var ownServers = []string{"consume", "api", "gateway"}

// processes returns the processes of Intray's own servers.
func (e environment) processes(model *kong.Application) []local.Process {
	processes := make([]local.Process, len(ownServers))
	for i, name := range ownServers {
		own := e.ownSettings(name)
		// A server that has a public listener opens it last.
		health := "http://" + cmp.Or(own["LISTEN"], own["METRICS_LISTEN"]) + "/healthz"
		processes[i] = local.Process{
			Name: name, Args: []string{name}, Env: serverEnvironment(command(model, name), own),
			Ready: func(ctx context.Context) error { return cli.Healthy(ctx, health) },
		}
	}
	return processes
}

// ownSettings returns the settings of a server that up sets itself instead of passing them on.
func (e environment) ownSettings(server string) map[string]string {
	s := e.provision()
	set := map[string]string{
		"MINIO_ENDPOINT": s.MinIOEndpoint.String(), "MINIO_BUCKET": bucket,
		"METRICS_LISTEN": e.address(metricsPort(server)),
	}
	switch server {
	case "consume":
		maps.Copy(set, map[string]string{
			"DATABASE_URL": e.servers.PostgresAs("worker", e.secrets[secretWorker]),
			"NATS_URL":     s.NATSURL, "NATS_PASSWORD": e.servers.NATSPassword(nats.UserWorker),
			"NATS_CA":          s.NATSCA,
			"MINIO_WORKER_KEY": s.WorkerKey, "MINIO_WORKER_SECRET": s.WorkerSecret,
			"CACHE_DIR": filepath.Join(cli.CacheDir(), "wasm"),
		})
	case "api":
		maps.Copy(set, map[string]string{
			"DATABASE_URL":      e.servers.PostgresAs("api", e.secrets[secretAPI]),
			"AUTH_DATABASE_URL": e.servers.PostgresAs("auth", e.secrets[secretAuth]),
			"NATS_URL":          s.NATSURL, "NATS_PASSWORD": e.servers.NATSPassword(nats.UserAPI),
			"NATS_CA":          s.NATSCA,
			"LISTEN":           e.listen,
			"GATEWAY_URL":      e.gatewayURL(),
			"MINIO_UPLOAD_KEY": s.UploadKey, "MINIO_UPLOAD_SECRET": s.UploadSecret,
			"MINIO_MULTIPART_KEY": s.MultipartKey, "MINIO_MULTIPART_SECRET": s.MultipartSecret,
			"MINIO_DOWNLOAD_KEY": s.DownloadKey, "MINIO_DOWNLOAD_SECRET": s.DownloadSecret,
			"MINIO_CONFIRM_KEY": s.ConfirmKey, "MINIO_CONFIRM_SECRET": s.ConfirmSecret,
			"TOKEN_KEY": e.secrets[secretToken],
		})
	case "gateway":
		set["LISTEN"] = e.address("gateway")
	}
	return set
}

// command returns the model of a command of this program.
func command(model *kong.Application, name string) *kong.Node {
	i := slices.IndexFunc(model.Children, func(n *kong.Node) bool { return n.Name == name })
	return model.Children[i]
}

// serverEnvironment returns the environment of a server. It contains the settings of the server
// from the environment of this process, including Go's own memory limit, and own, which overrides
// them.
func serverEnvironment(server *kong.Node, own map[string]string) []string {
	set := map[string]string{"PATH": os.Getenv("PATH"), "GOMEMLIMIT": os.Getenv("GOMEMLIMIT")}
	for _, flag := range server.Flags {
		for _, name := range flag.Envs {
			set[name] = os.Getenv(name)
			if name == "DEFAULT_AI_PROVIDER" {
				set[name] = cmp.Or(set[name], builtin.Provider)
			}
		}
	}
	maps.Copy(set, own)
	var env []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if set[name] != "" {
			env = append(env, name+"="+set[name])
		}
	}
	return env
}
