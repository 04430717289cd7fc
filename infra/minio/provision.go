package minio

import (
	"context"
	"errors"
	"fmt"

	miniogo "github.com/minio/minio-go/v7"
)

// Keys are the access keys that Intray's parts use instead of the root's; policies/ says what each may do.
type Keys struct {
	Upload    Key // signs the browsers' PUTs; in the API
	Multipart Key // begins and completes uploads in parts; in the API
	Download  Key // signs the browsers' GETs; in the API
	Confirm   Key // stats objects; in the API
	Worker    Key // the consumers
}

func (k Keys) byRole() map[string]Key {
	return map[string]Key{
		"upload": k.Upload, "multipart": k.Multipart, "download": k.Download, "confirm": k.Confirm, "worker": k.Worker,
	}
}

// Admin is what Provision needs: MinIO's root credentials, which no other part gets, and what to make.
type Admin struct {
	Endpoint     string // host:port, without a scheme
	Secure       bool
	RootUser     string
	RootPassword string
	Bucket       string
	Keys         Keys
}

// Provision makes the bucket, its notifications, and the users and policies of the keys, or brings them to what admin
// says. It is idempotent, touches no object, leaves other users and other targets' notifications alone, and is meant to
// run at each start, after Ready: where nothing has changed it costs three short requests. The notification targets
// themselves come from MinIO's environment (MINIO_NOTIFY_NATS_*_CREATED_DIRECT and so on) and must be there.
//
// An outage is an error that wraps ErrUnavailable.
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

// makeBucket creates the bucket unless it is there. Two provisioners may run at once; the one that comes second finds
// the other's bucket.
func makeBucket(ctx context.Context, client *miniogo.Client, bucket string) error {
	exists, err := client.BucketExists(ctx, bucket)
	if err != nil {
		return classify("find bucket", bucket, err)
	}
	if exists {
		return nil
	}
	err = client.MakeBucket(ctx, bucket, miniogo.MakeBucketOptions{Region: region})
	var resp miniogo.ErrorResponse
	if errors.As(err, &resp) && (resp.Code == "BucketAlreadyOwnedByYou" || resp.Code == "BucketAlreadyExists") {
		return nil
	}
	if err != nil {
		return classify("make bucket", bucket, err)
	}
	return nil
}
