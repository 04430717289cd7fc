package api_test

import (
	"testing"

	"intray/api"
	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// TestReadOnlyDatabase checks that writes are refused with 503 and that reads continue.
func TestReadOnlyDatabase(t *testing.T) {
	b := setup(t)
	d := b.alice.upload("a", []byte("x"))
	if err := postgrestest.SetReadOnly(t.Context(), b.ownerURL, true); err != nil {
		t.Fatal(err)
	}
	config := b.config
	b.useDatabase(&config, b.roleURL, postgres.Options{})
	b.alice.base = b.serve(config)
	for _, got := range []*response{
		b.alice.get("/readyz"),
		b.alice.post("/api/documents/upload-url", api.UploadRequest{
			Filename: "b", ContentType: "text/plain", Size: 1,
		}),
		b.alice.post(path(d)+"/confirm", nil),
		b.alice.post("/api/topics", api.NewTopic{Name: "Letters"}),
		b.alice.login("alice@example.com", userPassword),
	} {
		if got.fails(schema.CodeUnavailable).header.Get("Retry-After") == "" {
			t.Errorf("%s: got no Retry-After, want one", got.request)
		}
	}
	b.alice.get("/readyz").says("PostgreSQL responds but does not accept writes")
	for _, address := range []string{
		path(d), "/api/documents", "/api/topics", "/api/me", "/healthz",
	} {
		b.alice.get(address).is(200)
	}
}
