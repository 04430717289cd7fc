package api_test

import (
	"net/http"
	"sync"
	"testing"

	"intray/api"
	"intray/schema"
)

// TestLockedRowsOfOneUser checks that requests of a user whose rows another transaction has locked
// are refused with 503 and may be repeated, while those of other users are carried out.
func TestLockedRowsOfOneUser(t *testing.T) {
	b := setup(t)
	pending, pendingOfBob := b.alice.upload("a", []byte("x")), b.bob.upload("a", []byte("x"))
	for name, statement := range map[string]string{
		"user":      `SELECT FROM users WHERE id = $1 FOR UPDATE`,
		"quota":     `SELECT FROM quotas WHERE user_id = $1 FOR UPDATE`,
		"documents": `SELECT FROM documents WHERE user_id = $1 FOR UPDATE`,
	} {
		t.Run(name, func(t *testing.T) {
			lock, err := b.sql.Beginx()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = lock.Rollback() }()
			lock.MustExec(statement, b.bob.id)
			request := api.UploadRequest{Filename: "b", ContentType: "text/plain", Size: 1}
			var all sync.WaitGroup
			for range 16 {
				all.Go(func() {
					got := b.bob.post("/api/documents/upload-url", request)
					if name != "user" {
						got.is(http.StatusCreated)
						return
					}
					if got.fails(schema.CodeUnavailable).header.Get("Retry-After") == "" {
						t.Error("got no Retry-After, want one")
					}
				})
				all.Go(func() { b.alice.post("/api/documents/upload-url", request).is(http.StatusCreated) })
			}
			all.Wait()
			b.alice.post(path(pending)+"/confirm", nil).is(http.StatusOK)
			if name != "user" {
				b.bob.post(path(pendingOfBob)+"/confirm", nil).fails(schema.CodeUnavailable)
			}
			if err := lock.Rollback(); err != nil {
				t.Fatal(err)
			}
			b.bob.post("/api/documents/upload-url", request).is(http.StatusCreated)
		})
	}
	b.bob.post(path(pendingOfBob)+"/confirm", nil).is(http.StatusOK)
}
