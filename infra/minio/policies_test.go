package minio_test

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"

	"intray/infra/minio"
)

// TestKeyPermissions tries every relevant action with every key, in the Authorization header. Each
// action that is not listed as allowed must fail with a 403.
func TestKeyPermissions(t *testing.T) {
	s := setup(t)
	other := setup(t) // another bucket
	document, source := newKey(t), newKey(t)
	const old, elsewhere = "null-user/old.pdf", "elsewhere/x"
	for _, key := range []string{document, source, old, elsewhere} {
		s.put(t, key, "x")
	}
	other.put(t, document, "x")

	root := &miniogo.Core{Client: s.root}
	incomplete, err := root.NewMultipartUpload(
		t.Context(), s.Bucket, document, miniogo.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}

	type action struct {
		name string
		run  func(c *miniogo.Client) error
	}
	list := func(bucket, prefix string) func(c *miniogo.Client) error {
		return func(c *miniogo.Client) error {
			options := miniogo.ListObjectsOptions{Prefix: prefix, Recursive: true}
			for info := range c.ListObjectsIter(t.Context(), bucket, options) {
				return info.Err
			}
			return nil
		}
	}
	get := func(bucket, key string) func(c *miniogo.Client) error {
		return func(c *miniogo.Client) error {
			core := &miniogo.Core{Client: c}
			body, _, _, err := core.GetObject(t.Context(), bucket, key, miniogo.GetObjectOptions{})
			if err == nil {
				body.Close()
			}
			return err
		}
	}
	put := func(key string) func(c *miniogo.Client) error {
		return func(c *miniogo.Client) error {
			_, err := c.PutObject(t.Context(), s.Bucket, key,
				strings.NewReader("x"), 1, miniogo.PutObjectOptions{})
			return err
		}
	}
	remove := func(key string) func(c *miniogo.Client) error {
		return func(c *miniogo.Client) error {
			return c.RemoveObject(t.Context(), s.Bucket, key, miniogo.RemoveObjectOptions{})
		}
	}
	forceDelete := func(key string) func(c *miniogo.Client) error {
		return func(c *miniogo.Client) error {
			options := miniogo.RemoveObjectOptions{ForceDelete: true}
			return c.RemoveObject(t.Context(), s.Bucket, key, options)
		}
	}
	actions := []action{
		{"get documents", get(s.Bucket, document)},
		{"get null-user", get(s.Bucket, old)},
		{"get elsewhere", get(s.Bucket, elsewhere)},
		{"get other bucket", get(other.Bucket, document)},
		{"head missing", func(c *miniogo.Client) error {
			_, err := c.StatObject(t.Context(), s.Bucket, newKey(t), miniogo.StatObjectOptions{})
			if miniogo.ToErrorResponse(err).Code == miniogo.NoSuchKey {
				return nil
			}
			return err
		}},
		{"list documents", list(s.Bucket, "documents/")},
		{"list null-user", list(s.Bucket, "null-user/")},
		{"list elsewhere", list(s.Bucket, "elsewhere/")},
		{"list bucket", list(s.Bucket, "")},
		{"list other bucket", list(other.Bucket, "documents/")},
		{"put documents", put(newKey(t))},
		{"put elsewhere", put("elsewhere/y")},
		{"copy", func(c *miniogo.Client) error {
			_, err := c.CopyObject(t.Context(),
				miniogo.CopyDestOptions{Bucket: s.Bucket, Object: newKey(t)},
				miniogo.CopySrcOptions{Bucket: s.Bucket, Object: source})
			return err
		}},
		{"start multipart", func(c *miniogo.Client) error {
			core := &miniogo.Core{Client: c}
			_, err := core.NewMultipartUpload(
				t.Context(), s.Bucket, newKey(t), miniogo.PutObjectOptions{})
			return err
		}},
		{"list parts", func(c *miniogo.Client) error {
			core := &miniogo.Core{Client: c}
			_, err := core.ListObjectParts(t.Context(), s.Bucket, document, incomplete, 0, 10)
			return err
		}},
		{"list uploads", func(c *miniogo.Client) error {
			core := &miniogo.Core{Client: c}
			_, err := core.ListMultipartUploads(t.Context(), s.Bucket, document, "", "", "", 10)
			return err
		}},
		{"abort multipart", func(c *miniogo.Client) error {
			core := &miniogo.Core{Client: c}
			return core.AbortMultipartUpload(t.Context(), s.Bucket, document, incomplete)
		}},
		{"remove tags", func(c *miniogo.Client) error {
			return c.RemoveObjectTagging(
				t.Context(), s.Bucket, document, miniogo.RemoveObjectTaggingOptions{})
		}},
		{"read policy", func(c *miniogo.Client) error {
			_, err := c.GetBucketPolicy(t.Context(), s.Bucket)
			return err
		}},
		{"read notifications", func(c *miniogo.Client) error {
			_, err := c.GetBucketNotification(t.Context(), s.Bucket)
			return err
		}},
		{"create bucket", func(c *miniogo.Client) error {
			return c.MakeBucket(t.Context(), s.Bucket+"-new", miniogo.MakeBucketOptions{})
		}},
		{"force delete documents", forceDelete("documents/")},
		{"force delete a folder", forceDelete(path.Dir(document) + "/")},
		{"force delete null-user", forceDelete("null-user/")},
		{"delete elsewhere", remove(elsewhere)},
		{"delete null-user", remove(old)},
		{"delete documents", remove(document)},
	}
	for _, role := range []struct {
		name    string
		key     minio.Key
		allowed []string
	}{
		{"upload", s.Keys.Upload, nil},
		{"multipart", s.Keys.Multipart, []string{"put documents", "start multipart", "list parts"}},
		{"download", s.Keys.Download, []string{"get documents", "head missing"}},
		{"confirm", s.Keys.Confirm, []string{"get documents", "head missing", "list documents"}},
		{"worker", s.Keys.Worker, []string{
			"get documents", "get null-user", "head missing",
			"list documents", "list null-user", "list elsewhere", "list bucket",
			"delete documents", "delete null-user", "abort multipart",
		}},
	} {
		t.Run(role.name, func(t *testing.T) {
			client := s.client(t, role.key)
			for _, action := range actions {
				err := action.run(client)
				status := miniogo.ToErrorResponse(err).StatusCode
				if slices.Contains(role.allowed, action.name) {
					if err != nil {
						t.Errorf("%s: got %v, want success", action.name, err)
					}
				} else if err == nil || status != http.StatusForbidden {
					t.Errorf("%s: got status %d, %v; want a 403", action.name, status, err)
				}
			}
		})
	}
}

// TestPresignedURLPermissions tries presigned URLs, which work differently from the Authorization
// header. With the upload key a URL can PUT below documents/ and do nothing else, even with headers
// that the URL did not sign.
func TestPresignedURLPermissions(t *testing.T) {
	s := setup(t)
	victim := newKey(t)
	s.put(t, victim, "secret")
	upload, download := s.client(t, s.Keys.Upload), s.client(t, s.Keys.Download)
	presign := func(c *miniogo.Client, method, key string, query url.Values) string {
		u, err := c.Presign(t.Context(), method, s.Bucket, key, time.Minute, query)
		if err != nil {
			t.Fatal(err)
		}
		return u.String()
	}
	for name, test := range map[string]struct {
		method, address string
		headers         map[string]string
		status          int
	}{
		"put":                      {http.MethodPut, presign(upload, http.MethodPut, newKey(t), nil), nil, 200},
		"put elsewhere":            {http.MethodPut, presign(upload, http.MethodPut, "elsewhere/x", nil), nil, 403},
		"put into the old prefix":  {http.MethodPut, presign(upload, http.MethodPut, "null-user/x", nil), nil, 403},
		"get":                      {http.MethodGet, presign(upload, http.MethodGet, victim, nil), nil, 403},
		"head":                     {http.MethodHead, presign(upload, http.MethodHead, victim, nil), nil, 403},
		"delete":                   {http.MethodDelete, presign(upload, http.MethodDelete, victim, nil), nil, 403},
		"list":                     {http.MethodGet, presign(upload, http.MethodGet, "", url.Values{"list-type": {"2"}, "prefix": {"documents/"}}), nil, 403},
		"copy":                     {http.MethodPut, presign(upload, http.MethodPut, newKey(t), nil), map[string]string{"X-Amz-Copy-Source": "/" + s.Bucket + "/" + victim}, 403},
		"download key puts":        {http.MethodPut, presign(download, http.MethodPut, newKey(t), nil), nil, 403},
		"download key copies":      {http.MethodPut, presign(download, http.MethodPut, newKey(t), nil), map[string]string{"X-Amz-Copy-Source": "/" + s.Bucket + "/" + victim}, 403},
		"download key lists":       {http.MethodGet, presign(download, http.MethodGet, "", url.Values{"list-type": {"2"}}), nil, 403},
		"download key gets old":    {http.MethodGet, presign(download, http.MethodGet, "null-user/x", nil), nil, 403},
		"download key gets a file": {http.MethodGet, presign(download, http.MethodGet, victim, nil), nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			status, _, body := do(t, test.method, test.address, test.headers, nil)
			if status != test.status {
				t.Errorf("got status %d %s, want %d", status, body, test.status)
			}
		})
	}
}
