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
	actions := newKeyActions(t, s).all()
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
			client := &miniogo.Core{Client: s.client(t, role.key)}
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

// keyAction is an action that some keys have the permission for.
type keyAction struct {
	name string
	run  func(c *miniogo.Core) error
}

// keyActions creates actions on the objects of a bucket.
type keyActions struct {
	t                *testing.T
	bucket, other    string // other is another bucket
	document, source string // keys below documents/
	upload           string // the ID of an incomplete upload of document
}

const (
	nullUserKey  = "null-user/old.pdf"
	elsewhereKey = "elsewhere/x"
)

// newKeyActions stores the objects that the actions need.
func newKeyActions(t *testing.T, s *stack) *keyActions {
	t.Helper()
	other := setup(t)
	a := &keyActions{
		t: t, bucket: s.Bucket, other: other.Bucket, document: newKey(t), source: newKey(t),
	}
	for _, key := range []string{a.document, a.source, nullUserKey, elsewhereKey} {
		s.put(t, key, "x")
	}
	other.put(t, a.document, "x")
	var err error
	root := &miniogo.Core{Client: s.root}
	a.upload, err = root.NewMultipartUpload(
		t.Context(), a.bucket, a.document, miniogo.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// all returns all actions. Those that delete the objects of other actions are at the end.
func (a *keyActions) all() []keyAction {
	return slices.Concat(a.reads(), a.writes(), a.multipart(), a.bucketSettings(), a.deletions())
}

func (a *keyActions) reads() []keyAction {
	ctx := a.t.Context()
	get := func(bucket, key string) func(c *miniogo.Core) error {
		return func(c *miniogo.Core) error {
			body, _, _, err := c.GetObject(ctx, bucket, key, miniogo.GetObjectOptions{})
			if err == nil {
				body.Close()
			}
			return err
		}
	}
	list := func(bucket, prefix string) func(c *miniogo.Core) error {
		return func(c *miniogo.Core) error {
			options := miniogo.ListObjectsOptions{Prefix: prefix, Recursive: true}
			for info := range c.ListObjectsIter(ctx, bucket, options) {
				return info.Err
			}
			return nil
		}
	}
	return []keyAction{
		{"get documents", get(a.bucket, a.document)},
		{"get null-user", get(a.bucket, nullUserKey)},
		{"get elsewhere", get(a.bucket, elsewhereKey)},
		{"get other bucket", get(a.other, a.document)},
		{"head missing", func(c *miniogo.Core) error {
			_, err := c.StatObject(ctx, a.bucket, newKey(a.t), miniogo.StatObjectOptions{})
			if miniogo.ToErrorResponse(err).Code == miniogo.NoSuchKey {
				return nil
			}
			return err
		}},
		{"list documents", list(a.bucket, "documents/")},
		{"list null-user", list(a.bucket, "null-user/")},
		{"list elsewhere", list(a.bucket, "elsewhere/")},
		{"list bucket", list(a.bucket, "")},
		{"list other bucket", list(a.other, "documents/")},
	}
}

func (a *keyActions) writes() []keyAction {
	ctx := a.t.Context()
	put := func(key string) func(c *miniogo.Core) error {
		return func(c *miniogo.Core) error {
			_, err := c.Client.PutObject(
				ctx, a.bucket, key, strings.NewReader("x"), 1, miniogo.PutObjectOptions{})
			return err
		}
	}
	return []keyAction{
		{"put documents", put(newKey(a.t))},
		{"put elsewhere", put("elsewhere/y")},
		{"copy", func(c *miniogo.Core) error {
			_, err := c.Client.CopyObject(ctx,
				miniogo.CopyDestOptions{Bucket: a.bucket, Object: newKey(a.t)},
				miniogo.CopySrcOptions{Bucket: a.bucket, Object: a.source})
			return err
		}},
		{"remove tags", func(c *miniogo.Core) error {
			return c.RemoveObjectTagging(
				ctx, a.bucket, a.document, miniogo.RemoveObjectTaggingOptions{})
		}},
	}
}

func (a *keyActions) multipart() []keyAction {
	ctx := a.t.Context()
	return []keyAction{
		{"start multipart", func(c *miniogo.Core) error {
			_, err := c.NewMultipartUpload(ctx, a.bucket, newKey(a.t), miniogo.PutObjectOptions{})
			return err
		}},
		{"list parts", func(c *miniogo.Core) error {
			_, err := c.ListObjectParts(ctx, a.bucket, a.document, a.upload, 0, 10)
			return err
		}},
		{"list uploads", func(c *miniogo.Core) error {
			_, err := c.ListMultipartUploads(ctx, a.bucket, a.document, "", "", "", 10)
			return err
		}},
		{"abort multipart", func(c *miniogo.Core) error {
			return c.AbortMultipartUpload(ctx, a.bucket, a.document, a.upload)
		}},
	}
}

func (a *keyActions) bucketSettings() []keyAction {
	ctx := a.t.Context()
	return []keyAction{
		{"read policy", func(c *miniogo.Core) error {
			_, err := c.GetBucketPolicy(ctx, a.bucket)
			return err
		}},
		{"read notifications", func(c *miniogo.Core) error {
			_, err := c.GetBucketNotification(ctx, a.bucket)
			return err
		}},
		{"create bucket", func(c *miniogo.Core) error {
			return c.MakeBucket(ctx, a.bucket+"-new", miniogo.MakeBucketOptions{})
		}},
	}
}

func (a *keyActions) deletions() []keyAction {
	remove := func(key string, force bool) func(c *miniogo.Core) error {
		return func(c *miniogo.Core) error {
			options := miniogo.RemoveObjectOptions{ForceDelete: force}
			return c.RemoveObject(a.t.Context(), a.bucket, key, options)
		}
	}
	return []keyAction{
		{"force delete documents", remove("documents/", true)},
		{"force delete a folder", remove(path.Dir(a.document)+"/", true)},
		{"force delete null-user", remove("null-user/", true)},
		{"delete elsewhere", remove(elsewhereKey, false)},
		{"delete null-user", remove(nullUserKey, false)},
		{"delete documents", remove(a.document, false)},
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
