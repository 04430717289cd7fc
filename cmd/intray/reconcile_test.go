package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"intray/cmd/internal/stacktest"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

func testReconcile(t *testing.T, s *stack) {
	alice := s.Login(t, "alice")
	id := alice.Upload("invoice.txt", "text/plain", []byte(invoice))
	alice.Becomes(id, 30*time.Second, "classified")
	expectNoDifferences := func(t *testing.T) {
		expectText(t, s.operator(t, 0, "reconcile"), "1 objects", "No differences")
	}
	t.Run("no differences", expectNoDifferences)

	const key = "documents/0000000000/unknown\x1b[31m"
	_, err := s.root(t).PutObject(t.Context(), s.MinIO.Bucket, key,
		strings.NewReader("text"), 4, miniogo.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.database(t).Exec(`UPDATE quotas SET used_bytes = used_bytes + 5`); err != nil {
		t.Fatal(err)
	}
	t.Run("report", func(t *testing.T) {
		out := s.operator(t, 1, "reconcile", "--settle", "1ms")
		expectText(t, out, "documents/0000000000/unknown", "reconcile --fix")
		if strings.Contains(out, "\x1b") {
			t.Errorf("got %q, want no control characters", out)
		}
	})
	t.Run("fix", func(t *testing.T) { testReconcileFix(t, s) })
	t.Run("remaining differences are shown", func(t *testing.T) { s.expectDrift(t, 1) })
	t.Run("delete unknown objects", func(t *testing.T) {
		s.operator(t, 2, "reconcile", "--delete-unknown")
		remove := []string{"reconcile", "--settle", "1ms", "--fix", "--delete-unknown"}
		s.operator(t, 1, remove...) // the object is not older than --older-than
		s.operator(t, 0, append(remove, "--older-than", "1ms")...)
		s.expectNoObject(t, key)
	})
	t.Run("no differences remain", func(t *testing.T) {
		expectNoDifferences(t)
		s.expectDrift(t, 0)
	})
}

// testReconcileFix checks the findings and the summary of --fix, which does not delete the unknown
// object.
func testReconcileFix(t *testing.T, s *stack) {
	out := s.operator(t, 1, "reconcile", "--settle", "1ms", "--fix", "--json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	got := map[string]int{}
	for _, line := range lines[:len(lines)-1] {
		var f struct {
			Kind  string
			Fixed bool
		}
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		got[fmt.Sprint(f.Kind, " ", f.Fixed)]++
	}
	want := map[string]int{"unknown_object false": 1, "quota_drift true": 3}
	if !maps.Equal(got, want) {
		t.Errorf("got findings %v, want %v", got, want)
	}
	var last struct {
		Summary struct {
			Found, Left int64
			Kinds       map[string]struct{ Found, Fixed, Bytes int64 }
		}
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if sum := last.Summary; sum.Found != 4 || sum.Left != 1 || sum.Kinds["quota_drift"].Bytes != 15 {
		t.Errorf("got summary %+v, want 4 found, 1 left and 15 bytes of quota drift", sum)
	}
}

// expectDrift checks that "intray status" and the metrics show the number of remaining differences.
func (s *stack) expectDrift(t *testing.T, left int) {
	t.Helper()
	out := s.operator(t, min(left, 1), "status")
	const problem = "differences between bucket and database were not repaired"
	if got, want := strings.Contains(out, problem), left > 0; got != want {
		t.Errorf("status contains %q: got %v, want %v:\n%s", problem, got, want, out)
	}
	if left > 0 {
		expectText(t, out, fmt.Sprintf("%s (%d)", problem, left))
	}
	address := s.privateAddress(t, "consume")
	stacktest.Await(t, 20*time.Second, "the number of differences in the metrics", func() error {
		want := fmt.Sprintf("intray_reconcile_remaining %d\n", left)
		if text := scrape(t, address); !strings.Contains(text, want) {
			return fmt.Errorf("got no line %q", want)
		}
		return nil
	})
}

// root returns a client of MinIO as its root user.
func (s *stack) root(t *testing.T) *miniogo.Client {
	t.Helper()
	key := credentials.NewStaticV4(s.MinIO.RootUser, s.MinIO.RootPassword, "")
	root, err := miniogo.New(s.MinIO.Endpoint, &miniogo.Options{Creds: key})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// expectNoObject checks that the bucket has no object with the key.
func (s *stack) expectNoObject(t *testing.T, key string) {
	t.Helper()
	_, err := s.root(t).StatObject(t.Context(), s.MinIO.Bucket, key, miniogo.StatObjectOptions{})
	if got := miniogo.ToErrorResponse(err).Code; got != miniogo.NoSuchKey {
		t.Errorf("object %q: got %q (%v), want %q", key, got, err, miniogo.NoSuchKey)
	}
}
