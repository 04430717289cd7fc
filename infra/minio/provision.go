package minio

import (
	"context"
	"errors"
	"fmt"

	miniogo "github.com/minio/minio-go/v7"
)

// Keys are the access keys that Intray's processes use instead of the root credentials. policies/
// defines the permissions of each.
type Keys struct {
	Upload    Key // the API signs upload URLs with it
	Multipart Key // the API starts and completes multipart uploads with it
	Download  Key // the API signs download URLs with it
	Confirm   Key // the API stats objects with it
	Worker    Key // the consumers and the operator's commands use it
}

func (k Keys) byRole() map[string]Key {
	return map[string]Key{
		"upload":    k.Upload,
		"multipart": k.Multipart,
		"download":  k.Download,
		"confirm":   k.Confirm,
		"worker":    k.Worker,
	}
}

// Admin contains MinIO's root credentials, which only provisioning uses, and the bucket and keys to
// create.
type Admin struct {
	Endpoint     string // host:port, without a scheme
	Secure       bool
	RootUser     string
	RootPassword string
	Bucket       string
	Keys         Keys
}

// Provision creates the bucket, its notification rules, and the users and policies of the keys, or
// updates them to match admin. It does not change objects, other users, or notification rules for
// other targets.
//
// Provision is idempotent and can run at every start, after Ready succeeds. If nothing has changed
// it sends three short requests. It does not create the notification targets themselves: they must
// be configured in MinIO's environment (MINIO_NOTIFY_NATS_*_CREATED_DIRECT and so on).
//
// If MinIO is unavailable, Provision returns an error that wraps ErrUnavailable.
func Provision(ctx context.Context, admin Admin) error {
	for role, key := range admin.Keys.byRole() {
		if key.Access == "" || key.Secret == "" {
			return fmt.Errorf("provision minio: the %s key is empty", role)
		}
	}
	transport := newTransport()
	defer transport.CloseIdleConnections()
	root := Key{Access: admin.RootUser, Secret: admin.RootPassword}
	client, err := newClient(admin.Endpoint, admin.Secure, root, transport)
	if err != nil {
		return fmt.Errorf("provision minio: %w", err)
	}
	if err := makeBucket(ctx, client, admin.Bucket); err != nil {
		return fmt.Errorf("provision minio: %w", err)
	}
	if err := setNotifications(ctx, client, admin.Bucket); err != nil {
		return fmt.Errorf("provision minio: %w", err)
	}
	if err := importIAM(ctx, admin); err != nil {
		return fmt.Errorf("provision minio: %w", err)
	}
	return nil
}

// makeBucket creates the bucket unless it exists. It also succeeds if a concurrent Provision
// creates the bucket first.
func makeBucket(ctx context.Context, client *miniogo.Client, bucket string) error {
	exists, err := client.BucketExists(ctx, bucket)
	if err != nil {
		return wrapError("check bucket", bucket, err)
	}
	if exists {
		return nil
	}
	err = client.MakeBucket(ctx, bucket, miniogo.MakeBucketOptions{Region: region})
	if err == nil {
		return nil
	}
	var resp miniogo.ErrorResponse
	if errors.As(err, &resp) {
		switch resp.Code {
		case "BucketAlreadyOwnedByYou", "BucketAlreadyExists":
			return nil
		}
	}
	return wrapError("create bucket", bucket, err)
}
