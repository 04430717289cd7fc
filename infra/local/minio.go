package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"intray/infra/minio/eventqueue"
)

// MinIOSettings are the settings of MinIO that depend on the machine. [MinIOEnv] sets all others to
// fixed values.
type MinIOSettings struct {
	RootUser, RootPassword string
	NATSAddress            string // host:port
	NATSUser, NATSPassword string
	NATSCA                 string // path of the certificate of NATS; if empty, NATS has no TLS
	QueueDir               string // absolute path, on the same file system as its parent folder
}

// MinIOEnv returns the environment of MinIO's process, with which MinIO publishes every change of
// an object to NATS and loses no event in a restart or crash. The names of the variables are
// defined in github.com/minio/minio (internal/config/constants.go, internal/event/target/nats.go).
func MinIOEnv(s MinIOSettings) []string {
	env := []string{
		"MINIO_ROOT_USER=" + s.RootUser,
		"MINIO_ROOT_PASSWORD=" + s.RootPassword,
		// Serve S3 requests only after the buckets' notification rules are loaded. Without this
		// setting, the events of PUTs that MinIO answers before that are lost.
		"MINIO_SYNC_BOOT=on",
		// Answer a PUT only after its event is stored in JetStream or in the queue folder.
		// Without this setting, a crash loses the events of PUTs that MinIO has answered.
		"MINIO_API_SYNC_EVENTS=on",
		"MINIO_BROWSER=off", // no console, because clients may reach MinIO only through the gateway
		"MINIO_UPDATE=off",  // upstream publishes no more updates
	}
	// The bucket notifies two targets. The target DIRECT delivers an event within a millisecond but
	// loses it while NATS is unavailable. The target DURABLE stores events in the queue folder and
	// sends them at its next poll, up to 3 s later.
	for _, target := range []struct {
		id, subject string
		durable     bool
	}{
		{"CREATED_DIRECT", "bucket.created.direct", false},
		{"CREATED_DURABLE", "bucket.created.durable", true},
		{"REMOVED_DURABLE", "bucket.removed.durable", true},
	} {
		set := func(key, value string) {
			env = append(env, "MINIO_NOTIFY_NATS_"+key+"_"+target.id+"="+value)
		}
		set("ENABLE", "on")
		set("ADDRESS", s.NATSAddress)
		set("SUBJECT", target.subject)
		set("USERNAME", s.NATSUser)
		set("PASSWORD", s.NATSPassword)
		if s.NATSCA != "" {
			set("TLS", "on")
			set("CERT_AUTHORITY", s.NATSCA)
		}
		set("JETSTREAM", "on") // wait for the stream's acknowledgment
		if target.durable {
			set("QUEUE_DIR", s.QueueDir)
			// The maximum number of events in the queue. Further events are lost, and the
			// sweeper finds their objects later. At start MinIO allocates memory for this many.
			set("QUEUE_LIMIT", "100000")
		}
	}
	return env
}

// A minioServer describes the MinIO server.
type minioServer struct {
	program  string // path
	dir      string // DIR/minio
	port     int
	settings MinIOSettings
}

func (m *minioServer) address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(m.port))
}

func (m *minioServer) prepare() error {
	for _, d := range []string{"data", "queue", "certs"} {
		if err := os.MkdirAll(filepath.Join(m.dir, d), 0o700); err != nil {
			return fmt.Errorf("create MinIO's folders: %w", err)
		}
	}
	return nil
}

func (m *minioServer) process(printf func(string, ...any)) Process {
	return Process{
		Name: "minio",
		Path: m.program,
		Args: []string{"server", "--quiet", "--address", m.address(),
			// The default is a folder in the user's home.
			"--certs-dir", filepath.Join(m.dir, "certs"), filepath.Join(m.dir, "data")},
		Env:         append(MinIOEnv(m.settings), "HOME="+m.dir), // MinIO requires a home folder
		Dir:         m.dir,
		BeforeStart: func(context.Context) error { return m.checkQueue(printf) },
		Ready:       m.ping,
		StopTimeout: 15 * time.Second,
	}
}

// checkQueue moves damaged event files out of the queue and prints a message about each.
func (m *minioServer) checkQueue(printf func(string, ...any)) error {
	damaged, err := eventqueue.Check(m.settings.QueueDir)
	for _, d := range damaged {
		printf("minio: moved a damaged event to %s: %v", d.Path, d.Reason)
	}
	return err
}

// ping returns nil once MinIO serves requests. The health check proves that the storage is
// available. The listing proves that the notification rules are loaded (MINIO_SYNC_BOOT) and that
// the root user's keys are valid.
func (m *minioServer) ping(ctx context.Context) error {
	health := "http://" + m.address() + "/minio/health/cluster"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, health, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New("check MinIO's health: answered " + resp.Status)
	}
	// Provisioning, which follows, sends the secrets of MinIO's access keys.
	if err := checkListener(m.port); err != nil {
		return err
	}
	client, err := minio.New(m.address(), &minio.Options{
		Creds:     credentials.NewStaticV4(m.settings.RootUser, m.settings.RootPassword, ""),
		Transport: transport, MaxRetries: 1,
	})
	if err != nil {
		return err
	}
	_, err = client.ListBuckets(ctx)
	return err
}
