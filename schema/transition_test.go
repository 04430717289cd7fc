package schema_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"intray/schema"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func pending(size int64) schema.Document {
	return schema.NewDocument(uuid.Must(uuid.NewV7()), uuid.New(), "a.txt", "text/plain", size, start)
}

func objectOf(d schema.Document, size int64, etag string) schema.Object {
	return schema.Object{Key: d.ObjectKey, Size: size, ETag: etag}
}

// TestConfirm checks the result of Confirm for a document in each status.
func TestConfirm(t *testing.T) {
	type want struct {
		status  schema.Status
		reason  schema.Reason
		charged int64
		changed bool
		remove  bool
	}
	for name, c := range map[string]struct {
		prepare func(*schema.Document, *schema.Quota)
		size    int64
		etag    string
		limit   int64
		want    want
	}{
		"pending fits":            {size: 10, etag: "a", limit: 10, want: want{schema.StatusUploaded, "", 10, true, false}},
		"pending, over the quota": {size: 10, etag: "a", limit: 9, want: want{schema.StatusRejected, schema.ReasonQuotaExceeded, 0, true, true}},
		"pending, wrong size":     {size: 11, etag: "a", limit: 99, want: want{schema.StatusRejected, schema.ReasonSizeMismatch, 0, true, true}},
		"expired, late upload":    {prepare: expire, size: 10, etag: "a", limit: 10, want: want{schema.StatusUploaded, "", 10, true, false}},
		"uploaded, same object":   {prepare: upload, size: 10, etag: "a", limit: 10, want: want{schema.StatusUploaded, "", 10, false, false}},
		"uploaded, new etag":      {prepare: upload, size: 10, etag: "b", limit: 10, want: want{schema.StatusQuarantined, schema.ReasonContentChanged, 0, true, false}},
		"uploaded, new size":      {prepare: upload, size: 11, etag: "a", limit: 99, want: want{schema.StatusQuarantined, schema.ReasonContentChanged, 0, true, false}},
		"classified, new etag":    {prepare: classify, size: 10, etag: "b", limit: 10, want: want{schema.StatusQuarantined, schema.ReasonContentChanged, 0, true, false}},
		"failed, same object":     {prepare: fail, size: 10, etag: "a", limit: 10, want: want{schema.StatusFailed, schema.ReasonBroken, 10, false, false}},
		"uploaded, no etag yet":   {prepare: clearETag, size: 10, etag: "b", limit: 10, want: want{schema.StatusUploaded, "", 10, true, false}},
		"deleting":                {prepare: remove, size: 10, etag: "a", limit: 10, want: want{schema.StatusDeleting, "", 10, false, true}},
		"quarantined":             {prepare: quarantine, size: 10, etag: "a", limit: 10, want: want{schema.StatusQuarantined, schema.ReasonContentChanged, 0, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			d := pending(10)
			q := schema.Quota{UserID: d.UserID, LimitBytes: c.limit}
			if c.prepare != nil {
				c.prepare(&d, &q)
			}
			before := d
			dec := d.Confirm(objectOf(d, c.size, c.etag), &q, start.Add(time.Minute))
			got := want{d.Status, d.Reason, d.ChargedBytes, dec.Changed, dec.DeleteObject}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if q.UsedBytes != d.ChargedBytes {
				t.Errorf("got %d used bytes, want the charge of %d", q.UsedBytes, d.ChargedBytes)
			}
			increased := d.Version == before.Version+1 && d.UnpublishedAt != nil
			if dec.Changed != increased {
				t.Errorf("Changed is %v, and the version changed from %d to %d",
					dec.Changed, before.Version, d.Version)
			}
		})
	}
}

func upload(d *schema.Document, q *schema.Quota) {
	limit := q.LimitBytes
	q.LimitBytes = 1 << 40
	d.Confirm(objectOf(*d, d.Size, "a"), q, start)
	q.LimitBytes = limit
}
func classify(d *schema.Document, q *schema.Quota) {
	upload(d, q)
	d.Classify(nil, "builtin", "", start)
}

func fail(d *schema.Document, q *schema.Quota) {
	upload(d, q)
	d.Fail(schema.ReasonBroken, start)
}

func clearETag(d *schema.Document, q *schema.Quota)  { upload(d, q); d.ETag = "" }
func remove(d *schema.Document, q *schema.Quota)     { upload(d, q); d.Delete(start) }
func quarantine(d *schema.Document, q *schema.Quota) { upload(d, q); d.Quarantine(q, start) }
func expire(d *schema.Document, _ *schema.Quota)     { d.Expire(start.Add(schema.ExpireAfter)) }

func TestDocumentExpiresAnHourAfterItsLastURL(t *testing.T) {
	d := pending(1)
	d.URLIssuedAt = start.Add(time.Minute)
	if d.Expire(start.Add(schema.ExpireAfter)); d.Status != schema.StatusPending {
		t.Fatalf("less than an hour after its last URL: got status %s, want pending", d.Status)
	}
	if d.Expire(start.Add(schema.ExpireAfter + time.Minute)); d.Status != schema.StatusExpired {
		t.Fatalf("an hour after its last URL: got status %s, want expired", d.Status)
	}
}

func TestRenew(t *testing.T) {
	later := start.Add(2 * time.Hour)
	t.Run("pending", func(t *testing.T) {
		d := pending(1)
		dec := d.Renew(later)
		if dec.Changed || !dec.Renewed || d.Version != 1 || !d.URLIssuedAt.Equal(later) {
			t.Errorf("got %+v and %+v, want a new URL in the same version", dec, d)
		}
		if d.Renew(start); !d.URLIssuedAt.Equal(later) {
			t.Errorf("got the time %s of an earlier URL, want %s", d.URLIssuedAt, later)
		}
	})
	t.Run("expired", func(t *testing.T) {
		d := pending(1)
		expire(&d, nil)
		dec := d.Renew(later)
		if !dec.Changed || d.Status != schema.StatusPending || d.Version != 3 ||
			!d.URLIssuedAt.Equal(later) || d.UnpublishedAt == nil {
			t.Errorf("got %+v and %+v, want an unpublished pending document with a new URL", dec, d)
		}
	})
	for name, prepare := range map[string]func(*schema.Document, *schema.Quota){
		"uploaded": upload, "classified": classify, "failed": fail, "deleting": remove,
		"quarantined": quarantine,
	} {
		t.Run(name, func(t *testing.T) {
			d, q := pending(1), schema.Quota{LimitBytes: 1}
			prepare(&d, &q)
			version := d.Version
			dec := d.Renew(later)
			if dec.Changed || dec.Renewed || d.Version != version || d.URLIssuedAt.Equal(later) {
				t.Errorf("got %+v and %+v, want no change", dec, d)
			}
		})
	}
}

func TestSameRequest(t *testing.T) {
	d := pending(1)
	d.DeclaredSHA256, d.RequestedFilename = []byte("digest"), new(d.Filename)
	renamed := d
	renamed.Filename = "b.txt"
	if !renamed.SameRequest(d) {
		t.Error("got a different request after the document was renamed, want the same")
	}
	for member, change := range map[string]func(*schema.Document){
		"filename":     func(d *schema.Document) { d.Filename = "b.txt" },
		"content type": func(d *schema.Document) { d.ContentType = "text/html" },
		"size":         func(d *schema.Document) { d.Size = 2 },
		"digest":       func(d *schema.Document) { d.DeclaredSHA256 = nil },
		"multipart":    func(d *schema.Document) { d.Multipart = true },
	} {
		other := pending(1)
		other.DeclaredSHA256 = d.DeclaredSHA256
		if !d.SameRequest(other) {
			t.Fatal("got a different request, want the same")
		}
		if change(&other); d.SameRequest(other) {
			t.Errorf("another %s: got the same request, want a different one", member)
		}
		// The digest and the kind of upload were not always stored.
		old := pending(1)
		if got, want := old.SameRequest(other), member == "digest" || member == "multipart"; got != want {
			t.Errorf("another %s of an old document: got the same request %v, want %v", member, got, want)
		}
	}
}

func TestManuallySetTopicsAreKept(t *testing.T) {
	d, q := pending(1), schema.Quota{LimitBytes: 1}
	upload(&d, &q)
	chosen := uuid.New()
	dec := d.Edit(schema.Edit{Topics: &[]uuid.UUID{chosen}}, start)
	want := []schema.DocumentTopic{{TopicID: chosen, Confidence: 100}}
	if !dec.Changed || !slices.Equal(dec.Topics, want) || d.Status != schema.StatusUploaded {
		t.Errorf("Edit: got %+v and status %s, want topics %v and status uploaded",
			dec, d.Status, want)
	}
	for range 2 {
		others := []schema.DocumentTopic{{TopicID: uuid.New()}}
		if dec := d.Classify(others, "builtin", "", start); !dec.Changed || dec.Topics != nil {
			t.Errorf("Classify: got %+v, want a change that keeps the topics", dec)
		}
		if dec := d.Reclassify(start); !dec.Changed || dec.Topics != nil {
			t.Errorf("Reclassify: got %+v, want a change that keeps the topics", dec)
		}
	}
	none := schema.Edit{Topics: new([]uuid.UUID)}
	if dec := d.Edit(none, start); dec.Topics == nil || len(dec.Topics) != 0 {
		t.Errorf("Edit without topics: got topics %v, want an empty set", dec.Topics)
	}
}

func TestReclassify(t *testing.T) {
	d, q := pending(1), schema.Quota{LimitBytes: 1}
	if dec := d.Reclassify(start); dec.Changed {
		t.Error("pending document: got a change, want none")
	}
	fail(&d, &q)
	version := d.Version
	dec := d.Reclassify(start)
	if !dec.Changed || d.Status != schema.StatusUploaded || d.Reason != "" ||
		d.Version != version+1 || d.UnpublishedAt == nil {
		t.Errorf("failed document: got %+v, want status uploaded, unpublished, version %d",
			d, version+1)
	}
	d.Classify(nil, "builtin", "m", start)
	d.Reclassify(start)
	if d.ClassifiedAt != nil || d.Provider != "" || d.Model != "" || d.ChargedBytes != 1 {
		t.Errorf("classified document: got %+v, want a charge and no classification", d)
	}
}

func TestClassifyWithoutTopicsClearsTopics(t *testing.T) {
	d, q := pending(1), schema.Quota{LimitBytes: 1}
	upload(&d, &q)
	if dec := d.Classify(nil, "builtin", "", start); dec.Topics == nil || len(dec.Topics) != 0 {
		t.Errorf("got topics %v, want an empty set", dec.Topics)
	}
}

// TestRandomTransitions applies random transitions to a user's documents and checks after each:
//   - The used bytes of the quota are the sum of the charges.
//   - Confirm does not exceed the quota.
//   - Each change increases the version by one.
//   - A rejected, quarantined or deleting document does not become counted again.
//   - Only counted and deleting documents are charged.
func TestRandomTransitions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := schema.Quota{LimitBytes: rapid.Int64Range(0, 100).Draw(t, "limit")}
		docs := make([]schema.Document, rapid.IntRange(1, 6).Draw(t, "documents"))
		for i := range docs {
			docs[i] = pending(rapid.Int64Range(0, 60).Draw(t, "size"))
		}
		now := start
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				var sum int64
				for _, d := range docs {
					sum += d.ChargedBytes
					charged := d.Status.Counted() || (d.Status == schema.StatusDeleting && d.GoneAt == nil)
					if d.ChargedBytes != 0 && !charged {
						t.Fatalf("%s document: got a charge of %d bytes, want 0", d.Status, d.ChargedBytes)
					}
					if d.Status.Counted() && d.ChargedBytes != d.Size {
						t.Fatalf("%s document: got a charge of %d bytes, want %d",
							d.Status, d.ChargedBytes, d.Size)
					}
				}
				if sum != q.UsedBytes {
					t.Fatalf("got %d used bytes, want the sum of the charges, %d", q.UsedBytes, sum)
				}
			},
			"step": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes")) * time.Minute)
				i := rapid.IntRange(0, len(docs)-1).Draw(t, "document")
				before := docs[i]
				step(t, &docs[i], &q, now)
				d := docs[i]
				if got := d.Version - before.Version; got != 0 && got != 1 {
					t.Fatalf("the version increased by %d, want 0 or 1", got)
				}
				if d.Version == before.Version && d.Status != before.Status {
					t.Fatalf("%s became %s, and the version did not change", before.Status, d.Status)
				}
				final := before.Status == schema.StatusRejected ||
					before.Status == schema.StatusDeleting || before.Status == schema.StatusQuarantined
				if final && d.Status.Counted() {
					t.Fatalf("%s became %s, want a status that is not counted", before.Status, d.Status)
				}
				confirmed := !before.Status.Counted() && d.Status == schema.StatusUploaded
				if confirmed && q.UsedBytes > q.LimitBytes {
					t.Fatalf("Confirm charged the quota up to %d bytes, want at most %d",
						q.UsedBytes, q.LimitBytes)
				}
			},
			"limit": func(t *rapid.T) { q.LimitBytes = rapid.Int64Range(0, 100).Draw(t, "limit") },
		})
	})
}

func step(t *rapid.T, d *schema.Document, q *schema.Quota, now time.Time) {
	transitions := []string{
		"confirm", "classify", "fail", "quarantine", "expire", "delete", "mark gone", "set topics",
		"reclassify", "renew",
	}
	switch rapid.SampledFrom(transitions).Draw(t, "transition") {
	case "confirm":
		size := d.Size + rapid.Int64Range(0, 1).Draw(t, "excess bytes")
		etag := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "etag")
		d.Confirm(objectOf(*d, size, etag), q, now)
	case "classify":
		d.Classify(nil, "builtin", "", now)
	case "fail":
		d.Fail(schema.ReasonNoText, now)
	case "quarantine":
		d.Quarantine(q, now)
	case "expire":
		d.Expire(now)
	case "delete":
		d.Delete(now)
	case "mark gone":
		d.MarkGone(q, now)
	case "set topics":
		d.Edit(schema.Edit{Topics: new([]uuid.UUID)}, now)
	case "reclassify":
		d.Reclassify(now)
	case "renew":
		d.Renew(now)
	}
}
