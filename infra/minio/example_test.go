package minio_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"intray/infra/minio"
)

// This example provisions a bucket, uploads a file as a browser would, and stats the object.
func Example() {
	ctx := context.Background()
	admin, cleanup := exampleAdmin() // a MinIO server, its root credentials, and new access keys
	defer cleanup()
	if err := minio.Provision(ctx, admin); err != nil {
		fmt.Println(err)
		return
	}

	// The API signs an upload URL. In production Public is the gateway's address.
	presigner, err := minio.NewPresigner(minio.PresignerConfig{
		Public:   &url.URL{Scheme: "http", Host: admin.Endpoint},
		Bucket:   admin.Bucket,
		Upload:   admin.Keys.Upload,
		Download: admin.Keys.Download,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	const key = "documents/0123456789/01234567-89ab-7def-8123-456789abcdef"
	const content = "hello"
	address, headers, _, err := presigner.UploadURL(
		ctx, key, "text/plain", int64(len(content)), nil, minio.Allowance{}, time.Minute)
	if err != nil {
		fmt.Println(err)
		return
	}

	// The browser sends the file with exactly these headers.
	request, err := http.NewRequestWithContext(
		ctx, http.MethodPut, address, strings.NewReader(content))
	if err != nil {
		fmt.Println(err)
		return
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println("upload:", response.Status)

	// The API and the consumers stat the object.
	objects, err := minio.NewObjects(minio.Config{
		Endpoint: admin.Endpoint, Bucket: admin.Bucket, Key: admin.Keys.Confirm,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer objects.Close()
	object, err := objects.Stat(ctx, key)
	fmt.Println("object:", object.Size, "bytes,", err)
	_, err = objects.Stat(ctx, "documents/missing")
	fmt.Println("missing object:", errors.Is(err, minio.ErrNotExist))

	// Output:
	// upload: 200 OK
	// object: 5 bytes, <nil>
	// missing object: true
}
