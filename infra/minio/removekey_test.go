package minio_test

import (
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"intray/infra/minio"
)

func TestReplaceKey(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	s.put(t, key, "x")
	sign := func() (address string) {
		t.Helper()
		address, _, err := s.presigner(t).DownloadURL(
			t.Context(), key, minio.Attachment, "x", "text/plain", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return address
	}
	expect := func(t *testing.T, name, address string, want int) {
		t.Helper()
		if got, _, _ := do(t, http.MethodGet, address, nil, nil); got != want {
			t.Errorf("GET with the %s key's URL: got status %d, want %d", name, got, want)
		}
	}
	oldKey, oldURL := s.Keys.Download.Access, sign()
	t.Run("neither keys in use nor the root user are removed", func(t *testing.T) {
		for _, access := range []string{oldKey, s.RootUser} {
			if err := minio.RemoveKey(t.Context(), s.Admin, access); err == nil {
				t.Errorf("RemoveKey(%q): got success, want an error", access)
			}
		}
	})
	s.Keys.Download = minio.Key{Access: rand.Text()[:16], Secret: rand.Text()}
	if err := minio.Provision(t.Context(), s.Admin); err != nil {
		t.Fatal(err)
	}
	newURL := sign()
	t.Run("both keys work until RemoveKey", func(t *testing.T) {
		expect(t, "old", oldURL, http.StatusOK)
		expect(t, "new", newURL, http.StatusOK)
	})
	for _, name := range []string{"after RemoveKey", "after a second RemoveKey"} {
		t.Run(name, func(t *testing.T) {
			if err := minio.RemoveKey(t.Context(), s.Admin, oldKey); err != nil {
				t.Fatal(err)
			}
			expect(t, "old", oldURL, http.StatusForbidden)
			expect(t, "new", newURL, http.StatusOK)
		})
	}
}
