package localtest

import (
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// A MinIOServer is the shared MinIO, with a bucket for one test.
type MinIOServer struct {
	Endpoint               string // host:port, plain HTTP
	RootUser, RootPassword string
	Bucket                 string // fresh, empty, without notification rules

	// NATSURL is where the shared MinIO sends the events of buckets that have such rules,
	// on the subjects bucket.>. There is no stream unless a test makes one.
	NATSURL string
	// NATSPasswords are the passwords there by user: [local.NATSOperator] and the others.
	NATSPasswords map[string]string
}

// MinIO returns the shared MinIO with a fresh bucket, which goes with everything in it when
// the test ends.
func MinIO(t testing.TB) MinIOServer {
	t.Helper()
	s := sharedServers(t)
	m := MinIOServer{
		Endpoint: s.MinIO, RootUser: s.MinIOUser, RootPassword: s.MinIOPassword, Bucket: newName("test"),
		NATSURL: s.NATSURL, NATSPasswords: s.NATSPasswords,
	}
	client := m.Client(t)
	ctx, cancel := timeout()
	defer cancel()
	if err := client.MakeBucket(ctx, m.Bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatalf("localtest: make a bucket: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := timeout()
		defer cancel()
		err := client.RemoveBucketWithOptions(ctx, m.Bucket, minio.RemoveBucketOptions{ForceDelete: true})
		if err != nil && minio.ToErrorResponse(err).Code != minio.NoSuchBucket {
			t.Errorf("localtest: remove a bucket: %v", err)
		}
	})
	return m
}

// Client returns a client with the root keys.
func (m MinIOServer) Client(t testing.TB) *minio.Client {
	t.Helper()
	client, err := minio.New(m.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(m.RootUser, m.RootPassword, "")})
	if err != nil {
		t.Fatalf("localtest: make a MinIO client: %v", err)
	}
	return client
}
