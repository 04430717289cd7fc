package main

import (
	"context"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"intray/cmd/internal/cli"
	"intray/infra/local"
	"intray/infra/nats"
)

// bucket is the bucket of the stack that up runs.
const bucket = "documents"

// environment is what the parts of the stack that up runs are told: the same
// variables that a deployment sets by other means.
type environment struct {
	servers *local.Servers
	listen  string            // the API's address
	ports   map[string]int    // gateway, consume, gateway_metrics
	secrets map[string]string // by the names below
	ai      map[string]string
	cache   string
}

// The secrets that the data folder keeps for us.
const (
	secretToken     = "token_key"
	secretAPI       = "postgres_api"
	secretWorker    = "postgres_worker"
	secretUpload    = "minio_upload"
	secretMultipart = "minio_multipart"
	secretDownload  = "minio_download"
	secretConfirm   = "minio_confirm"
	secretConsume   = "minio_worker"
)

func newEnvironment(ctx context.Context, servers *local.Servers, listen string) (environment, error) {
	e := environment{servers: servers, listen: listen, ports: map[string]int{}, secrets: map[string]string{}}
	for _, name := range []string{secretToken, secretAPI, secretWorker, secretUpload, secretMultipart, secretDownload, secretConfirm, secretConsume} {
		for _, n := range []string{name, name + "_name"} {
			secret, err := servers.Secret(n)
			if err != nil {
				return e, err
			}
			e.secrets[n] = secret
		}
	}
	for _, name := range []string{"gateway", "consume", "gateway_metrics"} {
		port, err := servers.Port(ctx, name)
		if err != nil {
			return e, err
		}
		e.ports[name] = port
	}
	ai, err := cli.ReadSettings[aiSettings]()
	if err != nil {
		return e, err
	}
	if ai.Provider == "" {
		ai.Provider = providerBuiltin
	}
	if _, err := ai.remote(); err != nil {
		return e, err
	}
	e.ai = map[string]string{"DEFAULT_AI_PROVIDER": ai.Provider}
	for _, name := range aiVariables {
		e.ai[name] = os.Getenv(name)
	}
	s, err := cli.ReadSettings[cli.UpSettings]()
	e.cache = s.CacheDir()
	return e, err
}

func (e environment) address(name string) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(e.ports[name]))
}

func (e environment) apiURL() string     { return "http://" + e.listen }
func (e environment) gatewayURL() string { return "http://" + e.address("gateway") }

// key returns an access key and its secret, cut to the longest that MinIO takes.
func (e environment) key(name string) (access, secret string) {
	return e.secrets[name+"_name"][:20], e.secrets[name][:40]
}

func (e environment) provision() provisionSettings {
	var s provisionSettings
	s.Database.URL = e.servers.PostgresURL()
	s.NATS = cli.NATSSettings{URL: e.servers.NATSURL(), Password: e.servers.NATSPassword(nats.UserOperator)}
	s.MinIO = cli.MinIOSettings{Endpoint: cli.HTTPURL{URL: url.URL{Scheme: "http", Host: e.servers.MinIOEndpoint()}}, Bucket: bucket}
	s.API.UploadKey, s.API.UploadSecret = e.key(secretUpload)
	s.API.MultipartKey, s.API.MultipartSecret = e.key(secretMultipart)
	s.API.DownloadKey, s.API.DownloadSecret = e.key(secretDownload)
	s.API.ConfirmKey, s.API.ConfirmSecret = e.key(secretConfirm)
	s.Worker.WorkerKey, s.Worker.WorkerSecret = e.key(secretConsume)
	s.APIDatabasePassword, s.WorkerDatabasePassword = e.secrets[secretAPI], e.secrets[secretWorker]
	s.RootUser, s.RootPassword = e.servers.MinIORoot()
	return s
}

// processes are the parts of Intray, in the order in which they start; they end
// in the reverse of it.
func (e environment) processes() []local.Process {
	s := e.provision()
	minio := map[string]string{"MINIO_ENDPOINT": s.MinIO.Endpoint.String(), "MINIO_BUCKET": bucket}
	return []local.Process{
		e.process("consume", e.address("consume"), minio, e.ai, map[string]string{
			"DATABASE_URL":     e.servers.PostgresAs("worker", e.secrets[secretWorker]),
			"NATS_URL":         s.NATS.URL,
			"NATS_PASSWORD":    e.servers.NATSPassword(nats.UserWorker),
			"MINIO_WORKER_KEY": s.Worker.WorkerKey, "MINIO_WORKER_SECRET": s.Worker.WorkerSecret,
			"CACHE_DIR":      filepath.Join(e.cache, "wasm"),
			"OCR_LANGUAGES":  os.Getenv("OCR_LANGUAGES"),
			"SWEEP_INTERVAL": os.Getenv("SWEEP_INTERVAL"), "SWEEP_GRACE": os.Getenv("SWEEP_GRACE"),
			"SWEEP_SCAN_INTERVAL": os.Getenv("SWEEP_SCAN_INTERVAL"), "SWEEP_ANNOUNCE_AFTER": os.Getenv("SWEEP_ANNOUNCE_AFTER"),
		}),
		e.process("api", e.listen, minio, map[string]string{
			"DATABASE_URL":     e.servers.PostgresAs("api", e.secrets[secretAPI]),
			"NATS_URL":         s.NATS.URL,
			"NATS_PASSWORD":    e.servers.NATSPassword(nats.UserAPI),
			"GATEWAY_URL":      e.gatewayURL(),
			"MINIO_UPLOAD_KEY": s.API.UploadKey, "MINIO_UPLOAD_SECRET": s.API.UploadSecret,
			"MINIO_MULTIPART_KEY": s.API.MultipartKey, "MINIO_MULTIPART_SECRET": s.API.MultipartSecret,
			"MINIO_DOWNLOAD_KEY": s.API.DownloadKey, "MINIO_DOWNLOAD_SECRET": s.API.DownloadSecret,
			"MINIO_CONFIRM_KEY": s.API.ConfirmKey, "MINIO_CONFIRM_SECRET": s.API.ConfirmSecret,
			"TOKEN_KEY":    e.secrets[secretToken],
			"CORS_ORIGINS": os.Getenv("CORS_ORIGINS"),
		}, passedOn("TRUSTED_PROXIES", "READS_PER_SECOND", "WRITES_PER_SECOND", "REQUESTS_BURST", "ACCESS_TOKEN_LIFE", "OIDC_ISSUER", "OIDC_AUDIENCE")),
		e.process("gateway", e.address("gateway"), minio, map[string]string{"METRICS_LISTEN": e.address("gateway_metrics")}),
	}
}

// passedOn are variables that a part gets as up has them.
func passedOn(names ...string) map[string]string {
	set := make(map[string]string, len(names))
	for _, name := range names {
		set[name] = os.Getenv(name)
	}
	return set
}

// process runs one command of this program, ready when its /healthz answers.
func (e environment) process(command, listen string, sets ...map[string]string) local.Process {
	all := passedOn(tracingVariables...)
	maps.Copy(all, map[string]string{"LISTEN": listen, "LOG_LEVEL": os.Getenv("LOG_LEVEL"), "PATH": os.Getenv("PATH")})
	for _, s := range sets {
		maps.Copy(all, s)
	}
	var env []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name] != "" {
			env = append(env, name+"="+all[name])
		}
	}
	return local.Process{
		Name: command, Args: []string{command}, Env: env,
		Ready: func(ctx context.Context) error { return cli.Healthy(ctx, "http://"+listen+"/healthz") },
	}
}
