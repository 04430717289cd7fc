package minio_test

import (
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"intray/infra/minio"
)

// TestReplaceAKey: a key of a new name works beside the old one, whose URLs stay good until it is removed.
func TestReplaceAKey(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	s.put(t, key, "x")
	get := func(p *minio.Presigner) func() int {
		t.Helper()
		address, _, err := p.DownloadURL(t.Context(), key, "x", "text/plain", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return func() int {
			status, _, _ := do(t, http.MethodGet, address, nil, nil)
			return status
		}
	}
	former := get(s.presigner(t))
	old := s.Keys.Download.Access
	if err := minio.RemoveKey(t.Context(), s.Admin, old); err == nil {
		t.Error("a key in use was removed")
	}
	if err := minio.RemoveKey(t.Context(), s.Admin, s.Admin.RootUser); err == nil {
		t.Error("root was removed")
	}

	s.Keys.Download = minio.Key{Access: rand.Text()[:16], Secret: rand.Text()}
	if err := minio.Provision(t.Context(), s.Admin); err != nil {
		t.Fatal(err)
	}
	latter := get(s.presigner(t))
	if a, b := former(), latter(); a != http.StatusOK || b != http.StatusOK {
		t.Errorf("the old key's URL answers %d, the new key's %d", a, b)
	}
	for range 2 {
		if err := minio.RemoveKey(t.Context(), s.Admin, old); err != nil {
			t.Fatal(err)
		}
		if a, b := former(), latter(); a != http.StatusForbidden || b != http.StatusOK {
			t.Errorf("removed: the old key's URL answers %d, the new key's %d", a, b)
		}
	}
}
