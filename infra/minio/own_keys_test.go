package minio_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/signer"

	"intray/infra/local/localtest"
	"intray/infra/minio"
)

// TestKeysMakeNoOtherKeys checks that no key can change its own secret or manage access keys of its
// own, which MinIO permits unless a policy denies it, and that the temporary credentials that every
// key can get open nothing. Otherwise a stolen key would outlive its replacement.
func TestKeysMakeNoOtherKeys(t *testing.T) {
	s := setup(t)
	document := newKey(t)
	s.put(t, document, "x")
	for name, key := range map[string]minio.Key{
		"upload": s.Keys.Upload, "multipart": s.Keys.Multipart, "download": s.Keys.Download,
		"confirm": s.Keys.Confirm, "worker": s.Keys.Worker,
	} {
		t.Run(name, func(t *testing.T) {
			// MinIO checks the permission before it decrypts the body, so an empty one suffices.
			s.refusesAdmin(t, key, http.MethodPut, "add-user?accessKey="+key.Access)
			s.refusesAdmin(t, key, http.MethodGet, "list-access-keys-bulk?listType=all")
			s.temporaryKeyOpensNothing(t, key, document)
		})
	}
}

// refusesAdmin checks that MinIO's admin API refuses a request that is signed with key.
func (s *stack) refusesAdmin(t *testing.T, key minio.Key, method, path string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method,
		"http://"+s.Endpoint+"/minio/admin/v3/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	req = signer.SignV4(*req, key.Access, key.Secret, "", "us-east-1")
	status, _, body := localtest.Send(t, req)
	if status != http.StatusForbidden {
		t.Errorf("%s %s: got status %d %s, want a 403", method, path, status, body)
	}
}

// temporaryKeyOpensNothing checks that credentials of sts:AssumeRole are refused what key may do.
func (s *stack) temporaryKeyOpensNothing(t *testing.T, key minio.Key, document string) {
	t.Helper()
	endpoint := "http://" + s.Endpoint
	sts, err := credentials.NewSTSAssumeRole(endpoint, credentials.STSAssumeRoleOptions{
		AccessKey: key.Access, SecretKey: key.Secret, DurationSeconds: 365 * 24 * 60 * 60,
	})
	if err != nil {
		t.Fatal(err)
	}
	client, err := miniogo.New(s.Endpoint, &miniogo.Options{
		Creds: sts, Region: "us-east-1", MaxRetries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	for method, key := range map[string]string{
		http.MethodGet: document, http.MethodDelete: newKey(t), http.MethodPut: newKey(t),
	} {
		u, err := client.Presign(t.Context(), method, s.Bucket, key, time.Minute, url.Values{})
		if err != nil {
			t.Fatal(err)
		}
		if status, _, body := do(t, method, u.String(), nil, nil); status != http.StatusForbidden {
			t.Errorf("presigned %s: got status %d %s, want a 403", method, status, body)
		}
	}
	core := &miniogo.Core{Client: client}
	for _, action := range []keyAction{
		{"get", func(c *miniogo.Core) error {
			body, _, _, err := c.GetObject(t.Context(), s.Bucket, document, miniogo.GetObjectOptions{})
			if err == nil {
				body.Close()
			}
			return err
		}},
		{"start multipart", func(c *miniogo.Core) error {
			_, err := c.NewMultipartUpload(
				t.Context(), s.Bucket, newKey(t), miniogo.PutObjectOptions{})
			return err
		}},
		{"list", func(c *miniogo.Core) error {
			_, err := c.ListObjectsV2(s.Bucket, "documents/", "", "", "", 10)
			return err
		}},
	} {
		err := action.run(core)
		if miniogo.ToErrorResponse(err).StatusCode != http.StatusForbidden {
			t.Errorf("%s: got %v, want a 403", action.name, err)
		}
	}
}
