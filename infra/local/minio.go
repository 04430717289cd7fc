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
)

// MinIOSettings are the settings of MinIO's process that depend on the machine; everything
// else of its environment is fixed by [MinIOEnv].
type MinIOSettings struct {
	RootUser, RootPassword string
	NATSAddress            string // host:port
	NATSUser, NATSPassword string
	QueueDir               string // absolute; on the same file system as its parent folder
}

// MinIOEnv returns MinIO's environment: what makes it tell NATS of every change, and lose
// none of it. The names are those of github.com/minio/minio (internal/config/constants.go,
// internal/event/target/nats.go).
func MinIOEnv(s MinIOSettings) []string {
	env := []string{
		"MINIO_ROOT_USER=" + s.RootUser,
		"MINIO_ROOT_PASSWORD=" + s.RootPassword,
		// Serve S3 only after the buckets' notification rules are loaded: without this a
		// restart under load loses the events of the PUTs it answers in between.
		"MINIO_SYNC_BOOT=on",
		// Answer a PUT only after its event was handed over (to JetStream, or to the queue
		// folder): without this a crash loses the events of PUTs that were answered.
		"MINIO_API_SYNC_EVENTS=on",
		"MINIO_BROWSER=off", // no console: nobody may reach more than the gateway lets through
		"MINIO_UPDATE=off",  // look for no updates, there are none any more
	}
	// DIRECT delivers within a millisecond but loses events while NATS is away; DURABLE
	// keeps them in its queue folder and sends them with its next poll, up to 3 s later.
	// The bucket notifies both.
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
		set("JETSTREAM", "on") // wait for the stream's acknowledgment
		if target.durable {
			set("QUEUE_DIR", s.QueueDir)
			// Events; those beyond it are lost, until the sweeper finds their objects.
			// MinIO sets aside memory for as many at start.
			set("QUEUE_LIMIT", "100000")
		}
	}
	return env
}

// A minioServer is the object store: its program, folder, port and keys.
type minioServer struct {
	program  string
	dir      string // DIR/minio
	port     int
	settings MinIOSettings
}

func (m *minioServer) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(m.port)) }

func (m *minioServer) prepare() error {
	for _, d := range []string{"data", "queue", "certs"} {
		if err := os.MkdirAll(filepath.Join(m.dir, d), 0o700); err != nil {
			return fmt.Errorf("make MinIO's folders: %w", err)
		}
	}
	return nil
}

func (m *minioServer) process(say func(string, ...any)) Process {
	return Process{
		Name: "minio",
		Path: m.program,
		Args: []string{"server", "--quiet", "--address", m.address(),
			// It would look for certificates in a home folder otherwise.
			"--certs-dir", filepath.Join(m.dir, "certs"), filepath.Join(m.dir, "data")},
		Env:         append(MinIOEnv(m.settings), "HOME="+m.dir), // it wants to know a home folder
		Dir:         m.dir,
		BeforeStart: func(context.Context) error { return m.checkQueue(say) },
		Ready:       m.ping,
		StopTimeout: 15 * time.Second,
	}
}

// checkQueue sets damaged event files aside and says so.
func (m *minioServer) checkQueue(say func(string, ...any)) error {
	bad, err := CheckQueue(m.settings.QueueDir)
	for _, b := range bad {
		say("minio: set aside a damaged event: %s (%v)", b.Path, b.Reason)
	}
	return err
}

// ping succeeds once MinIO takes and answers requests: the health check says that the
// storage is there, the listing waits until the bucket rules are loaded (MINIO_SYNC_BOOT)
// and needs the keys.
func (m *minioServer) ping(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.address()+"/minio/health/cluster", nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New("MinIO's health check answered " + answer.Status)
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
