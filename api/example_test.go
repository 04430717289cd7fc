package api_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"intray/api"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
)

// New makes no network calls, so the API can be created while its servers are down. /healthz
// responds then too.
func ExampleNew() {
	config, closeAll := exampleConfig("127.0.0.1:1") // nothing listens there
	defer closeAll()
	handler, err := api.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer handler.Close()

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", http.NoBody))
	fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	// Output: 200 {"status":"ok"}
}

// exampleConfig returns the configuration of an API whose servers are all at one address, and a
// function that closes its connections.
func exampleConfig(address string) (config api.Config, closeAll func()) {
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	key := minio.Key{Access: "access-key", Secret: "secret-key"}
	storage := minio.Config{Endpoint: address, Bucket: "intray", Key: key}

	auth := must(postgres.OpenAuth("postgres://auth:password@"+address+"/intray", postgres.Options{}))
	db := must(postgres.Open("postgres://api:password@"+address+"/intray",
		postgres.Options{Auth: auth}))
	conn := must(nats.Connect(ctx, nats.Options{
		URL: "nats://" + address, User: nats.UserAPI, Password: "password", Name: "api", Log: log,
	}))
	objects := must(minio.NewObjects(storage))
	multipart := must(minio.NewMultipart(storage))
	presigner := must(minio.NewPresigner(minio.PresignerConfig{
		Public:   &url.URL{Scheme: "https", Host: "files.example.com"},
		Bucket:   storage.Bucket,
		Upload:   key,
		Download: key,
	}))
	tokenKey := make([]byte, api.MinTokenKeyBytes)
	_, _ = rand.Read(tokenKey) // never fails

	config = api.Config{
		DB:        db,
		Auth:      auth,
		Presigner: presigner,
		Objects:   objects,
		Multipart: multipart,
		NATS:      conn,
		Changes:   conn,
		TokenKey:  tokenKey,
		Log:       log,
	}
	return config, func() {
		multipart.Close()
		objects.Close()
		conn.Close()
		_ = db.Close()
		_ = auth.Close()
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A hash is in the standard encoded form of argon2id, which contains its parameters and its salt.
func ExampleHashPassword() {
	hash, err := api.HashPassword("correct horse battery staple")
	if err != nil {
		fmt.Println(err)
		return
	}
	parts := strings.Split(hash, "$")
	fmt.Println(parts[1], parts[3])
	// Output: argon2id m=65536,t=3,p=4
}

// Contract can be parsed to generate a client, or to check the requests of one.
func ExampleContract() {
	contract, err := openapi3.NewLoader().LoadFromData(api.Contract)
	if err != nil {
		fmt.Println(err)
		return
	}
	operation := contract.Paths.Value("/api/documents/upload-url").Post
	fmt.Println(operation.OperationID, "-", operation.Summary)
	// Output: CreateUploadURL - Create a document and its upload URL
}
