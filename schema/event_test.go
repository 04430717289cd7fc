package schema_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"intray/schema"
)

// notification is a notification from MinIO, without the members that are not decoded.
const notification = `{"EventName":"s3:ObjectCreated:Put","Key":"documents/documents/0190/x",
"Records":[{"eventVersion":"2.0","eventTime":"2026-01-02T03:04:05.678Z",
"eventName":"s3:ObjectCreated:Put",
"s3":{"bucket":{"name":"documents"},
"object":{"key":"documents%2F0190%2Fa+b%C3%BC","size":3,"eTag":"x","sequencer":"18"}}}]}`

func TestDecodeBucketEvent(t *testing.T) {
	records, err := schema.DecodeBucketEvent([]byte(notification))
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 1 {
		t.Fatalf("got %d records, want 1", len(records))
	}
	r := records[0]
	if r.Bucket != "documents" || r.Key != "documents/0190/a bü" {
		t.Errorf("got bucket %q and key %q, want documents and documents/0190/a bü", r.Bucket, r.Key)
	}
	if want := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC); !r.Time.Equal(want) {
		t.Errorf("got time %s, want %s", r.Time, want)
	}
	if !r.IsCreated() || r.IsRemoved() {
		t.Errorf("Put: got IsCreated %v and IsRemoved %v, want true and false",
			r.IsCreated(), r.IsRemoved())
	}
}

func TestOtherEventsAreNeitherCreatedNorRemoved(t *testing.T) {
	for _, name := range []string{
		"s3:ObjectCreated:PutTagging", "s3:ObjectCreated:DeleteTagging", "s3:ObjectAccessed:Get", "",
	} {
		r := schema.BucketRecord{EventName: name}
		if r.IsCreated() || r.IsRemoved() {
			t.Errorf("%q: got IsCreated %v and IsRemoved %v, want false and false",
				name, r.IsCreated(), r.IsRemoved())
		}
	}
}

func TestInvalidMessagesAreUndecodable(t *testing.T) {
	for _, text := range []string{
		"", "null", "{}", "[]", `{"Records":[]}`, "\x00", `{"Records":"x"}`,
		strings.Replace(notification, "a+b%C3%BC", "a%zz", 1),
	} {
		if _, err := schema.DecodeBucketEvent([]byte(text)); !errors.Is(err, schema.ErrUndecodable) {
			t.Errorf("DecodeBucketEvent(%q): got error %v, want ErrUndecodable", text, err)
		}
	}
	for _, text := range []string{"", "null", "{}", `{"document_id":"x"}`} {
		if _, err := schema.DecodeDocumentEvent([]byte(text)); !errors.Is(err, schema.ErrUndecodable) {
			t.Errorf("DecodeDocumentEvent(%q): got error %v, want ErrUndecodable", text, err)
		}
	}
}

func FuzzDecodeBucketEvent(f *testing.F) {
	f.Add([]byte(notification))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := schema.DecodeBucketEvent(data)
		if (err == nil) != (len(records) > 0) {
			t.Fatalf("got %d records and error %v, want either records or an error", len(records), err)
		}
		if err != nil && !errors.Is(err, schema.ErrUndecodable) {
			t.Fatal(err)
		}
	})
}

func FuzzDecodeDocumentEvent(f *testing.F) {
	f.Add([]byte(`{"document_id":"0190f5fe-0000-7000-8000-000000000000","status":"uploaded"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := schema.DecodeDocumentEvent(data)
		if err == nil && e.DocumentID == uuid.Nil {
			t.Fatal("got an event without a document id, want an error")
		}
		if err != nil && !errors.Is(err, schema.ErrUndecodable) {
			t.Fatal(err)
		}
	})
}

func TestObjectKey(t *testing.T) {
	id := uuid.Must(uuid.NewV7())
	key := schema.ObjectKey(id)
	if !regexp.MustCompile(`^documents/[0-9a-f]{10}/[0-9a-f-]{36}$`).MatchString(key) {
		t.Fatalf("got %s, want documents/<10 hex digits>/<id>", key)
	}
	digits := strings.ReplaceAll(id.String(), "-", "")[:10]
	if want := "documents/" + digits + "/" + id.String(); key != want {
		t.Errorf("got %s, want %s", key, want)
	}
}

func TestMessageIDChangesWithVersionAndAnnouncement(t *testing.T) {
	d, q := pending(1), schema.Quota{LimitBytes: 1}
	ids := map[string]bool{d.MessageID(): true}
	upload(&d, &q)
	ids[d.MessageID()] = true
	d.MarkUnpublished(start)
	ids[d.MessageID()] = true
	if len(ids) != 3 {
		t.Errorf("got %d distinct message ids, want 3: %v", len(ids), ids)
	}
}

func TestGoneDocumentIsPublishedAsDeleted(t *testing.T) {
	d, q := pending(1), schema.Quota{LimitBytes: 1}
	upload(&d, &q)
	if got, want := d.Event().Subject(), schema.SubjectDocumentUploaded; got != want {
		t.Errorf("uploaded document: got subject %s, want %s", got, want)
	}
	d.MarkGone(&q, start)
	if got, want := d.Event().Subject(), schema.SubjectDocumentDeleted; got != want {
		t.Errorf("gone document: got subject %s, want %s", got, want)
	}
}

func TestDocumentIDInvertsObjectKey(t *testing.T) {
	id := uuid.Must(uuid.NewV7())
	key := schema.ObjectKey(id)
	if got, ok := schema.DocumentID(key); !ok || got != id {
		t.Errorf("got %s, %v; want %s, true", got, ok, id)
	}
	for _, other := range []string{
		"", "/", id.String(),
		"documents/" + id.String(),
		"documents/0000000000/" + id.String(),
		"null-user/" + id.String(),
		key + "x",
		key[:len(key)-1],
		strings.ToUpper(key),
		key[:21] + "{" + id.String() + "}",
		key[:21] + "urn:uuid:" + id.String(),
	} {
		if got, ok := schema.DocumentID(other); ok {
			t.Errorf("%q: got id %s, want none", other, got)
		}
	}
}

// BenchmarkDecodeBucketEvent decodes a complete notification. MinIO sends two for each upload.
func BenchmarkDecodeBucketEvent(b *testing.B) {
	whole := []byte(strings.Join([]string{
		`{"EventName":"s3:ObjectCreated:Put",`,
		`"Key":"documents/documents/019c2f3a11/019c2f3a-1111-7000-8000-000000000000",`,
		`"Records":[{"eventVersion":"2.0","eventSource":"minio:s3","awsRegion":"",`,
		`"eventTime":"2026-11-23T18:28:00.123Z","eventName":"s3:ObjectCreated:Put",`,
		`"userIdentity":{"principalId":"upload"},"requestParameters":{"principalId":"upload",`,
		`"region":"","sourceIPAddress":"127.0.0.1"},`,
		`"responseElements":{"x-amz-id-2":`,
		`"dd9025bab4ad464b049177c95eb6ebf374d3b3fd1af9251148b658df7ac2e3e8",`,
		`"x-amz-request-id":"187A8B7C5D6E7F80",`,
		`"x-minio-deployment-id":"7c1a9a0e-1111-2222-3333-444455556666",`,
		`"x-minio-origin-endpoint":"http://127.0.0.1:9000"},"s3":{"s3SchemaVersion":"1.0",`,
		`"configurationId":"Config","bucket":{"name":"documents",`,
		`"ownerIdentity":{"principalId":"upload"},"arn":"arn:aws:s3:::documents"},`,
		`"object":{"key":"documents%2F019c2f3a11%2F019c2f3a-1111-7000-8000-000000000000","size":1024,`,
		`"eTag":"5d41402abc4b2a76b9719d911017c592","contentType":"text/plain",`,
		`"userMetadata":{"content-type":"text/plain"},"sequencer":"187A8B7C5D6E7F81"}},`,
		`"source":{"host":"127.0.0.1","port":"","userAgent":"MinIO (linux; amd64) minio-go/v7.0.97"}}]}`,
	}, ""))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := schema.DecodeBucketEvent(whole); err != nil {
			b.Fatal(err)
		}
	}
}

func TestEncodedCreationIsDecoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.String().Draw(t, "key")
		at := time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(t, "time"))
		records, err := schema.DecodeBucketEvent(schema.EncodeCreated("documents", key, at))
		if err != nil || len(records) != 1 {
			t.Fatalf("got %d records, %v; want 1", len(records), err)
		}
		r := records[0]
		if !r.IsCreated() || r.Bucket != "documents" || r.Key != key || !r.Time.Equal(at) {
			t.Fatalf("got %+v, want the creation of %q at %s", r, key, at)
		}
	})
}
