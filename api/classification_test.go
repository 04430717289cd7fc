package api_test

import (
	"testing"

	"github.com/google/uuid"

	"intray/api"
	"intray/schema"
)

// setTopics sets the topics of a document.
func (c *client) setTopics(d api.Document, ids ...uuid.UUID) *response {
	c.t.Helper()
	return c.patch(path(d), api.DocumentPatch{TopicIds: new(append([]uuid.UUID{}, ids...))})
}

func TestSetTopics(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a", []byte("x"))
	mine := b.alice.createTopic("Mine").ID
	bobs := b.bob.createTopic("Bob's").ID
	system := b.admin.createSystemTopic("System").ID

	t.Run("replaces the topics with confidence 100", func(t *testing.T) {
		b := b.in(t)
		before := b.alice.get(path(d)).header.Get("ETag")
		response := b.alice.setTopics(d, mine, system, mine).is(200)
		got := as[api.Document](response)
		if got.Status != api.DocumentStatusUploaded || len(got.Topics) != 2 ||
			got.Topics[0].Confidence != 100 || got.Topics[1].Confidence != 100 {
			t.Errorf("got %+v, want it uploaded with two topics of confidence 100", got)
		}
		etag := response.header.Get("ETag")
		if want := b.alice.get(path(d)).header.Get("ETag"); etag == before || etag != want {
			t.Errorf("got ETag %s, want %s, and not %s as before", etag, want, before)
		}
	})
	t.Run("refuses topics that the user does not have", func(t *testing.T) {
		for _, unknown := range []uuid.UUID{bobs, uuid.New(), uuid.Nil} {
			b.alice.in(t).setTopics(d, mine, unknown).
				fails(schema.CodeUnknownTopic).says(unknown.String())
		}
	})
	t.Run("a later classification does not change the topics", func(t *testing.T) {
		b := b.in(t)
		b.classify(d.ID, schema.DocumentTopic{TopicID: system, Confidence: 7})
		b.alice.setTopics(d, mine).is(200)
		b.alice.post(path(d)+"/reclassify", nil).is(202)
		b.classify(d.ID, schema.DocumentTopic{TopicID: system, Confidence: 7})
		got := b.alice.document(d)
		if got.Status != api.DocumentStatusClassified || len(got.Topics) != 1 ||
			got.Topics[0].ID != mine {
			t.Errorf("got %+v, want it classified with the topic %s", got, mine)
		}
	})
	t.Run("an empty list removes all topics", func(t *testing.T) {
		got := as[api.Document](b.alice.in(t).setTopics(d).is(200))
		if len(got.Topics) != 0 {
			t.Errorf("got topics %+v, want none", got.Topics)
		}
	})
	for _, body := range []string{
		"{}", `{"topic_ids":null}`, `{"topic_ids":["x"]}`,
		`{"topic_ids":[],"status":"uploaded"}`, "[]", "{",
	} {
		t.Run("refuses "+body, func(t *testing.T) {
			b.alice.in(t).patch(path(d), body).fails(schema.CodeInvalid)
		})
	}
	t.Run("refuses documents that are not counted", func(t *testing.T) {
		b := b.in(t)
		b.bob.setTopics(d, bobs).fails(schema.CodeNotFound)
		pending := b.alice.requestUpload("p", 1).Document
		b.alice.setTopics(pending, mine).fails(schema.CodeWrongStatus)
		b.alice.delete(path(d)).is(202)
		b.alice.setTopics(d, mine).fails(schema.CodeWrongStatus).says("deleting")
	})
}

func TestReclassify(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a", []byte("x"))
	topic := b.alice.createTopic("Mine").ID
	b.classify(d.ID, schema.DocumentTopic{TopicID: topic, Confidence: 50})

	t.Run("keeps the topics until the document is classified", func(t *testing.T) {
		b := b.in(t)
		b.alice.post(path(d)+"/reclassify", nil).is(202)
		got := b.alice.document(d)
		if got.Status != api.DocumentStatusUploaded || got.ClassifiedAt != nil ||
			got.ClassifiedBy != nil || len(got.Topics) != 1 {
			t.Errorf("got %+v, want it uploaded with one topic", got)
		}
		if got := b.unpublished(); got != 1 {
			t.Errorf("got %d unpublished documents, want 1", got)
		}
		b.classify(d.ID) // without topics
		if got := b.alice.document(d).Topics; len(got) != 0 {
			t.Errorf("got topics %+v, want none", got)
		}
	})
	t.Run("refuses documents that are not counted", func(t *testing.T) {
		b := b.in(t)
		b.bob.post(path(d)+"/reclassify", nil).fails(schema.CodeNotFound)
		pending := b.alice.requestUpload("p", 1).Document
		b.alice.post(path(pending)+"/reclassify", nil).
			fails(schema.CodeWrongStatus).says("pending", "classified again")
		b.alice.delete(path(d)).is(202)
		b.alice.post(path(d)+"/reclassify", nil).fails(schema.CodeWrongStatus)
	})
}
