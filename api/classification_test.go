package api_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"

	"intray/api"
	"intray/schema"
)

func TestTopicsByHand(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a", []byte("x"))
	mine := as[api.Topic](b.alice.post("/api/topics", api.NewTopic{Name: "Mine"}).is(201)).ID
	bobs := as[api.Topic](b.bob.post("/api/topics", api.NewTopic{Name: "Bob's"}).is(201)).ID
	system := as[api.Topic](b.admin.post("/api/admin/topics", api.NewTopic{Name: "System"}).is(201)).ID
	set := func(ids ...uuid.UUID) *answer {
		t.Helper()
		return b.alice.do(http.MethodPatch, path(d), api.DocumentPatch{TopicIds: append([]uuid.UUID{}, ids...)})
	}

	before := b.alice.get(path(d)).header.Get("ETag")
	a := set(mine, system, mine).is(200)
	got := as[api.Document](a)
	if len(got.Topics) != 2 || got.Topics[0].Confidence != 100 || got.Topics[1].Confidence != 100 || got.Status != api.DocumentStatusUploaded {
		t.Errorf("%+v", got)
	}
	if etag := a.header.Get("ETag"); etag == before || etag != b.alice.get(path(d)).header.Get("ETag") {
		t.Errorf("ETag %s after %s", etag, before)
	}
	for _, unknown := range []uuid.UUID{bobs, uuid.New(), uuid.Nil} {
		set(mine, unknown).fails(schema.CodeUnknownTopic).says(unknown.String())
	}
	// No classification takes them away.
	b.classify(d.ID, schema.DocumentTopic{TopicID: system, Confidence: 7})
	set(mine).is(200)
	b.alice.post(path(d)+"/reclassify", nil).is(202)
	b.classify(d.ID, schema.DocumentTopic{TopicID: system, Confidence: 7})
	got = as[api.Document](b.alice.get(path(d)).is(200))
	if len(got.Topics) != 1 || got.Topics[0].ID != mine || got.Status != api.DocumentStatusClassified {
		t.Errorf("%+v", got)
	}
	if got := as[api.Document](set().is(200)); len(got.Topics) != 0 {
		t.Errorf("%+v", got)
	}

	for _, body := range []any{"{}", `{"topic_ids":null}`, `{"topic_ids":["x"]}`, `{"topic_ids":[],"status":"uploaded"}`, "[]", "{"} {
		b.alice.do(http.MethodPatch, path(d), body).fails(schema.CodeInvalid)
	}
	b.bob.do(http.MethodPatch, path(d), api.DocumentPatch{TopicIds: []uuid.UUID{bobs}}).fails(schema.CodeNotFound)
	pending := b.alice.post("/api/documents/upload-url", api.UploadRequest{Filename: "p", ContentType: "text/plain", Size: 1}).is(201)
	b.alice.do(http.MethodPatch, path(as[api.UploadURL](pending).Document), api.DocumentPatch{TopicIds: []uuid.UUID{mine}}).fails(schema.CodeWrongStatus)
	b.alice.delete(path(d)).is(202)
	set(mine).fails(schema.CodeWrongStatus).says("deleting")
}

func TestReclassify(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a", []byte("x"))
	topic := as[api.Topic](b.alice.post("/api/topics", api.NewTopic{Name: "Mine"}).is(201)).ID
	b.classify(d.ID, schema.DocumentTopic{TopicID: topic, Confidence: 50})
	b.alice.post(path(d)+"/reclassify", nil).is(202)
	got := as[api.Document](b.alice.get(path(d)).is(200))
	if got.Status != api.DocumentStatusUploaded || got.ClassifiedAt != nil || got.ClassifiedBy != nil || len(got.Topics) != 1 {
		t.Errorf("%+v", got)
	}
	if n := b.unpublished(); n != 1 {
		t.Errorf("%d documents are unannounced", n)
	}
	b.classify(d.ID) // another answer: no topic
	if got := as[api.Document](b.alice.get(path(d)).is(200)); len(got.Topics) != 0 {
		t.Errorf("%+v", got)
	}
	b.bob.post(path(d)+"/reclassify", nil).fails(schema.CodeNotFound)
	pending := as[api.UploadURL](b.alice.post("/api/documents/upload-url", api.UploadRequest{Filename: "p", ContentType: "text/plain", Size: 1}).is(201)).Document
	b.alice.post(path(pending)+"/reclassify", nil).fails(schema.CodeWrongStatus).says("pending", "classified again")
	b.alice.delete(path(d)).is(202)
	b.alice.post(path(d)+"/reclassify", nil).fails(schema.CodeWrongStatus)
}
