package localtest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
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

	drive string // the folder that is its only drive
}

// MinIODrive returns the folder in the data folder of a stack, or of a test run, that is MinIO's
// only drive.
func MinIODrive(data string) string { return filepath.Join(data, "minio", "data") }

// Damage damages the object at key, as a failing drive does: MinIO answers requests for it with
// status 500 until restore is called.
func (m MinIOServer) Damage(t testing.TB, key string) (restore func()) {
	t.Helper()
	restore, err := DamageObject(m.drive, m.Bucket, key)
	if err != nil {
		t.Fatalf("localtest: damage an object: %v", err)
	}
	return restore
}

// DamageObject damages the object at key of a bucket on a drive of MinIO. restore undoes that,
// unless the object has been deleted or replaced.
func DamageObject(drive, bucket, key string) (restore func(), err error) {
	path := filepath.Join(drive, bucket, filepath.FromSlash(key), "xl.meta")
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	damaged := []byte("damaged")
	if err := overwrite(path, damaged); err != nil {
		return nil, err
	}
	return func() {
		if found, err := os.ReadFile(path); err == nil && bytes.Equal(found, damaged) {
			_ = overwrite(path, content)
		}
	}, nil
}

// overwrite replaces the content of a file. It does not create the file, because MinIO may have
// deleted it in the meantime.
func overwrite(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// MinIO returns the shared MinIO server with a new bucket, which is deleted with all its objects
// when the test ends.
func MinIO(t testing.TB) MinIOServer {
	t.Helper()
	s := sharedServers(t)
	m := MinIOServer{
		Endpoint: s.MinIO, RootUser: s.MinIOUser, RootPassword: s.MinIOPassword,
		Bucket: newName("test"), NATSURL: s.NATSURL, NATSPasswords: s.NATSPasswords,
		drive: s.MinIODrive,
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
