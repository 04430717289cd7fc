package localtest

import (
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// A MinIOServer is the shared MinIO server with a bucket for one test.
type MinIOServer struct {
	Endpoint               string // host:port, HTTP without TLS
	RootUser, RootPassword string
	Bucket                 string // new, empty, without notification rules

	// NATSURL is the URL of the NATS server to which MinIO publishes the events of buckets that have
	// notification rules, on the subjects bucket.>. It has no streams until a test creates one.
	NATSURL string
	// NATSPasswords are the passwords of that server's users: [local.NATSMinIO], [local.NATSAPI],
	// [local.NATSWorker] and [local.NATSOperator].
	NATSPasswords map[string]string
}

// MinIO returns the shared MinIO server with a new bucket, which is deleted with all its objects
// when the test ends.
func MinIO(t testing.TB) MinIOServer {
	t.Helper()
	s := sharedServers(t)
	m := MinIOServer{
		Endpoint: s.MinIO, RootUser: s.MinIOUser, RootPassword: s.MinIOPassword,
		Bucket: newName("test"), NATSURL: s.NATSURL, NATSPasswords: s.NATSPasswords,
	}
	client := m.Client(t)
	ctx, cancel := withTimeout()
	defer cancel()
	if err := client.MakeBucket(ctx, m.Bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatalf("localtest: create a bucket: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := withTimeout()
		defer cancel()
		options := minio.RemoveBucketOptions{ForceDelete: true}
		err := client.RemoveBucketWithOptions(ctx, m.Bucket, options)
		if err != nil && minio.ToErrorResponse(err).Code != minio.NoSuchBucket {
			t.Errorf("localtest: remove a bucket: %v", err)
		}
	})
	return m
}

// Client returns a client that uses the root user's keys.
func (m MinIOServer) Client(t testing.TB) *minio.Client {
	t.Helper()
	client, err := minio.New(m.Endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(m.RootUser, m.RootPassword, ""),
	})
	if err != nil {
		t.Fatalf("localtest: create a MinIO client: %v", err)
	}
	return client
}
