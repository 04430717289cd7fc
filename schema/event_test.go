package schema_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"intray/schema"
)

// A notification as MinIO sends it, shortened to what matters.
const notification = `{"EventName":"s3:ObjectCreated:Put","Key":"documents/documents/0190/x","Records":[{
"eventVersion":"2.0","eventTime":"2026-01-02T03:04:05.678Z","eventName":"s3:ObjectCreated:Put",
"s3":{"bucket":{"name":"documents"},"object":{"key":"documents%2F0190%2Fa+b%C3%BC","size":3,"eTag":"x","sequencer":"18"}}}]}`

func TestDecodeBucketEvent(t *testing.T) {
	records, err := schema.DecodeBucketEvent([]byte(notification))
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 1 {
		t.Fatalf("got %d records", len(records))
	}
	r := records[0]
	if r.Bucket != "documents" || r.Key != "documents/0190/a bü" || r.Time.IsZero() {
		t.Errorf("got %+v", r)
	}
	if created, removed := r.About(); !created || removed {
		t.Errorf("a Put is created=%v removed=%v", created, removed)
	}
}

func TestTaggingIsNeitherCreatedNorRemoved(t *testing.T) {
	for _, name := range []string{"s3:ObjectCreated:PutTagging", "s3:ObjectCreated:DeleteTagging", "s3:ObjectAccessed:Get", ""} {
		if created, removed := (schema.BucketRecord{EventName: name}).About(); created || removed {
			t.Errorf("%q is created=%v removed=%v", name, created, removed)
		}
	}
}

func TestUndecodable(t *testing.T) {
	for _, text := range []string{"", "null", "{}", "[]", `{"Records":[]}`, "\x00", `{"Records":"x"}`,
		strings.Replace(notification, "a+b%C3%BC", "a%zz", 1)} {
		if _, err := schema.DecodeBucketEvent([]byte(text)); !errors.Is(err, schema.ErrUndecodable) {
			t.Errorf("%q: got %v", text, err)
		}
	}
	for _, text := range []string{"", "null", "{}", `{"document_id":"x"}`} {
		if _, err := schema.DecodeDocumentEvent([]byte(text)); !errors.Is(err, schema.ErrUndecodable) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func FuzzDecodeBucketEvent(f *testing.F) {
	f.Add([]byte(notification))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := schema.DecodeBucketEvent(data)
		if (err == nil) != (len(records) > 0) {
			t.Fatalf("%d records and error %v", len(records), err)
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
			t.Fatal("decoded an event about nothing")
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
		t.Fatalf("got %s", key)
	}
	if digits := strings.ReplaceAll(id.String(), "-", "")[:10]; !strings.HasPrefix(key, "documents/"+digits+"/"+id.String()) {
		t.Errorf("got %s for %s", key, id)
	}
}

func TestMessageIDNamesVersionAndAnnouncement(t *testing.T) {
	d, q := pending(1), schema.Quota{LimitBytes: 1}
	ids := map[string]bool{d.MessageID(): true}
	upload(&d, &q)
	ids[d.MessageID()] = true
	d.Reannounce(start)
	ids[d.MessageID()] = true
	if len(ids) != 3 {
		t.Errorf("message ids repeat: %v", ids)
	}
}

func TestEventOfAGoneDocument(t *testing.T) {
	d, q := pending(1), schema.Quota{LimitBytes: 1}
	upload(&d, &q)
	if got := d.Event().Subject(); got != schema.SubjectDocumentUpload {
		t.Errorf("got %s", got)
	}
	d.Gone(&q, start)
	if got := d.Event().Subject(); got != schema.SubjectDocumentDeleted {
		t.Errorf("got %s", got)
	}
}

func TestDocumentIDReadsObjectKeys(t *testing.T) {
	id := uuid.Must(uuid.NewV7())
	if got, ok := schema.DocumentID(schema.ObjectKey(id)); !ok || got != id {
		t.Errorf("got %s, %v; want %s", got, ok, id)
	}
	key := schema.ObjectKey(id)
	for _, foreign := range []string{"", "/", id.String(), "documents/" + id.String(), "documents/0000000000/" + id.String(), key + "x",
		key[:len(key)-1], "null-user/" + id.String(), strings.ToUpper(key), key[:21] + "{" + id.String() + "}", key[:21] + "urn:uuid:" + id.String()} {
		if got, ok := schema.DocumentID(foreign); ok {
			t.Errorf("%q is taken for the object of %s", foreign, got)
		}
	}
}
