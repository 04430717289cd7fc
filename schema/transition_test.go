package schema_test

import (
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

func found(d schema.Document, size int64, etag string) schema.Object {
	return schema.Object{Key: d.ObjectKey, Size: size, ETag: etag}
}

// TestConfirm states what the object found makes of a document in each status.
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
		"pending fits":           {size: 10, etag: "a", limit: 10, want: want{schema.StatusUploaded, "", 10, true, false}},
		"pending one byte over":  {size: 10, etag: "a", limit: 9, want: want{schema.StatusRejected, schema.ReasonQuotaExceeded, 0, true, true}},
		"pending of other size":  {size: 11, etag: "a", limit: 99, want: want{schema.StatusRejected, schema.ReasonSizeMismatch, 0, true, true}},
		"expired comes late":     {prepare: expire, size: 10, etag: "a", limit: 10, want: want{schema.StatusUploaded, "", 10, true, false}},
		"uploaded again":         {prepare: upload, size: 10, etag: "a", limit: 10, want: want{schema.StatusUploaded, "", 10, false, false}},
		"uploaded, other etag":   {prepare: upload, size: 10, etag: "b", limit: 10, want: want{schema.StatusQuarantined, schema.ReasonContentChange, 0, true, false}},
		"uploaded, other size":   {prepare: upload, size: 11, etag: "a", limit: 99, want: want{schema.StatusQuarantined, schema.ReasonContentChange, 0, true, false}},
		"classified, other etag": {prepare: classify, size: 10, etag: "b", limit: 10, want: want{schema.StatusQuarantined, schema.ReasonContentChange, 0, true, false}},
		"failed again":           {prepare: fail, size: 10, etag: "a", limit: 10, want: want{schema.StatusFailed, schema.ReasonBroken, 10, false, false}},
		"old, without an etag":   {prepare: forgetETag, size: 10, etag: "b", limit: 10, want: want{schema.StatusUploaded, "", 10, true, false}},
		"deleting":               {prepare: remove, size: 10, etag: "a", limit: 10, want: want{schema.StatusDeleting, "", 10, false, true}},
		"quarantined":            {prepare: quarantine, size: 10, etag: "a", limit: 10, want: want{schema.StatusQuarantined, schema.ReasonContentChange, 0, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			d := pending(10)
			q := schema.Quota{UserID: d.UserID, LimitBytes: c.limit}
			if c.prepare != nil {
				c.prepare(&d, &q)
			}
			before := d
			dec := d.Confirm(found(d, c.size, c.etag), &q, start.Add(time.Minute))
			got := want{d.Status, d.Reason, d.ChargedBytes, dec.Changed, dec.DeleteObject}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if q.UsedBytes != d.ChargedBytes {
				t.Errorf("used %d bytes, charged %d", q.UsedBytes, d.ChargedBytes)
			}
			if raised := d.Version == before.Version+1 && d.UnpublishedAt != nil; dec.Changed != raised {
				t.Errorf("changed is %v, version went from %d to %d", dec.Changed, before.Version, d.Version)
			}
		})
	}
}

func upload(d *schema.Document, q *schema.Quota) {
	limit := q.LimitBytes
	q.LimitBytes = 1 << 40
	d.Confirm(found(*d, d.Size, "a"), q, start)
	q.LimitBytes = limit
}
func classify(d *schema.Document, q *schema.Quota) {
	upload(d, q)
	d.Classified(nil, "builtin", "", start)
}
func fail(d *schema.Document, q *schema.Quota)       { upload(d, q); d.Fail(schema.ReasonBroken, start) }
func forgetETag(d *schema.Document, q *schema.Quota) { upload(d, q); d.ETag = "" }
func remove(d *schema.Document, q *schema.Quota)     { upload(d, q); d.Delete(start) }
func quarantine(d *schema.Document, q *schema.Quota) { upload(d, q); d.Quarantine(q, start) }
func expire(d *schema.Document, _ *schema.Quota)     { d.Expire(start.Add(schema.ExpireAfter)) }

func TestExpireWaitsForTheLastURL(t *testing.T) {
	d := pending(1)
	d.URLIssuedAt = start.Add(time.Minute)
	if d.Expire(start.Add(schema.ExpireAfter)); d.Status != schema.StatusPending {
		t.Fatal("expired less than an hour after its last URL")
	}
	if d.Expire(start.Add(schema.ExpireAfter + time.Minute)); d.Status != schema.StatusExpired {
		t.Fatal("did not expire an hour after its last URL")
	}
}

func TestTopicsSetByHandStay(t *testing.T) {
	d, q := pending(1), schema.Quota{LimitBytes: 1}
	upload(&d, &q)
	chosen := uuid.New()
	dec := d.SetTopics([]uuid.UUID{chosen}, start)
	if !dec.Changed || len(dec.Topics) != 1 || dec.Topics[0] != (schema.DocumentTopic{TopicID: chosen, Confidence: 100}) || d.Status != schema.StatusUploaded {
		t.Errorf("set by hand: %+v, document %s", dec, d.Status)
	}
	for range 2 {
		if dec := d.Classified([]schema.DocumentTopic{{TopicID: uuid.New()}}, "builtin", "", start); !dec.Changed || dec.Topics != nil {
			t.Errorf("a classification replaced topics that a person set: %+v", dec)
		}
		if dec := d.Reclassify(start); !dec.Changed || dec.Topics != nil {
			t.Errorf("classifying again replaced topics that a person set: %+v", dec)
		}
	}
	if dec := d.SetTopics(nil, start); dec.Topics == nil || len(dec.Topics) != 0 {
		t.Errorf("setting none gave %v, want an empty set", dec.Topics)
	}
}

func TestReclassify(t *testing.T) {
	d, q := pending(1), schema.Quota{LimitBytes: 1}
	if dec := d.Reclassify(start); dec.Changed {
		t.Error("a pending document was classified again")
	}
	fail(&d, &q)
	version := d.Version
	if dec := d.Reclassify(start); !dec.Changed || d.Status != schema.StatusUploaded || d.Reason != "" || d.Version != version+1 || d.UnpublishedAt == nil {
		t.Errorf("a failed document became %+v", d)
	}
	d.Classified(nil, "builtin", "m", start)
	if d.Reclassify(start); d.ClassifiedAt != nil || d.Provider != "" || d.Model != "" || d.ChargedBytes != 1 {
		t.Errorf("a classified document became %+v", d)
	}
}

func TestClassifiedWithNoTopicClearsThem(t *testing.T) {
	d, q := pending(1), schema.Quota{LimitBytes: 1}
	upload(&d, &q)
	if dec := d.Classified(nil, "builtin", "", start); dec.Topics == nil || len(dec.Topics) != 0 {
		t.Errorf("got topics %v, want an empty set", dec.Topics)
	}
}

// TestStateMachine runs random transitions over a user's documents and holds
// them against the rules: the quota is the sum of the charges and is never
// passed by a confirm; a version rises by one with each change; a document that
// was given up is never counted again; only counted and deleting ones are charged.
func TestStateMachine(t *testing.T) {
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
						t.Fatalf("a document %s is charged %d bytes", d.Status, d.ChargedBytes)
					}
					if d.Status.Counted() && d.ChargedBytes != d.Size {
						t.Fatalf("a document %s of %d bytes is charged %d", d.Status, d.Size, d.ChargedBytes)
					}
				}
				if sum != q.UsedBytes {
					t.Fatalf("used %d bytes, charges sum to %d", q.UsedBytes, sum)
				}
			},
			"step": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes")) * time.Minute)
				i := rapid.IntRange(0, len(docs)-1).Draw(t, "document")
				before := docs[i]
				step(t, &docs[i], &q, now)
				d := docs[i]
				if got := d.Version - before.Version; got != 0 && got != 1 {
					t.Fatalf("version rose by %d", got)
				}
				if d.Version == before.Version && d.Status != before.Status {
					t.Fatalf("%s became %s without a new version", before.Status, d.Status)
				}
				givenUp := before.Status == schema.StatusRejected || before.Status == schema.StatusDeleting || before.Status == schema.StatusQuarantined
				if givenUp && d.Status.Counted() {
					t.Fatalf("%s came back as %s", before.Status, d.Status)
				}
				if !before.Status.Counted() && d.Status == schema.StatusUploaded && q.UsedBytes > q.LimitBytes {
					t.Fatalf("confirmed to %d of %d bytes", q.UsedBytes, q.LimitBytes)
				}
			},
			"limit": func(t *rapid.T) { q.LimitBytes = rapid.Int64Range(0, 100).Draw(t, "limit") },
		})
	})
}

func step(t *rapid.T, d *schema.Document, q *schema.Quota, now time.Time) {
	switch rapid.SampledFrom([]string{"confirm", "classified", "fail", "quarantine", "expire", "delete", "gone", "set topics", "reclassify"}).Draw(t, "transition") {
	case "confirm":
		size := d.Size + rapid.Int64Range(0, 1).Draw(t, "too long")
		d.Confirm(found(*d, size, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "etag")), q, now)
	case "classified":
		d.Classified(nil, "builtin", "", now)
	case "fail":
		d.Fail(schema.ReasonNoText, now)
	case "quarantine":
		d.Quarantine(q, now)
	case "expire":
		d.Expire(now)
	case "delete":
		d.Delete(now)
	case "gone":
		d.Gone(q, now)
	case "set topics":
		d.SetTopics(nil, now)
	case "reclassify":
		d.Reclassify(now)
	}
}
