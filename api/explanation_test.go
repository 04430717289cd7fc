package api_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/api"
	"intray/schema"
)

func TestExplanation(t *testing.T) {
	b := setup(t)
	document := b.alice.confirmed("invoice", []byte("amount due"))
	example := b.alice.confirmed("example", []byte("amount due"))
	foreign := b.bob.confirmed("of Bob", []byte("amount due"))
	invoices, other := b.alice.createTopic("Invoices"), b.alice.createTopic("Other")
	path := "/api/documents/" + document.ID.String() + "/explanation"
	expect := func(when string, want ...api.TopicEvidence) {
		t.Helper()
		if want == nil {
			want = []api.TopicEvidence{}
		}
		got := as[api.Explanation](b.alice.get(path).is(http.StatusOK))
		if !reflect.DeepEqual(got.Topics, want) {
			t.Errorf("%s: got %+v, want %+v", when, got.Topics, want)
		}
	}
	expect("before it is classified")

	stored, err := json.Marshal(schema.Explanation{Topics: []schema.TopicEvidence{
		{ID: invoices.ID, Words: []string{"amount due"}, Examples: []uuid.UUID{example.ID, foreign.ID}},
		{ID: other.ID, Words: []string{"due"}, Examples: []uuid.UUID{}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.owner.TransitionWithoutQuota(t.Context(), []uuid.UUID{document.ID},
		func(d *schema.Document, now time.Time) schema.Decision {
			decision := d.Classify([]schema.DocumentTopic{
				{TopicID: invoices.ID, Confidence: 90}, {TopicID: other.ID, Confidence: 70},
			}, "builtin", "m", now)
			decision.Explanation = stored
			return decision
		})
	if err != nil {
		t.Fatal(err)
	}
	evidence := api.TopicEvidence{
		ID: invoices.ID, Words: []string{"amount due"}, Examples: []uuid.UUID{example.ID},
	}
	rest := api.TopicEvidence{ID: other.ID, Words: []string{"due"}, Examples: []uuid.UUID{}}
	expect("a foreign example is left out", evidence, rest)
	b.bob.get(path).is(http.StatusNotFound)

	b.alice.delete("/api/topics/" + other.ID.String()).is(http.StatusNoContent)
	expect("after one of the topics was deleted", evidence)
	b.alice.delete("/api/documents/" + example.ID.String()).is(http.StatusAccepted)
	evidence.Examples = []uuid.UUID{}
	expect("after the example was deleted", evidence)
	b.alice.setTopics(document, invoices.ID).is(http.StatusOK)
	expect("after the user has set the topics")
}
