package classify_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/consumers/classify/builtin"
	"intray/schema"
)

var (
	garden = []string{
		"Prune the roses in March and water the young seedlings every evening.",
		"Compost feeds the soil; dig it in before planting tomatoes.",
		"The hedge needs trimming, and weeds grow between the carrots.",
		"Sow lettuce seeds in rows and cover them with fine soil.",
		"Slugs ate the lettuce; plant marigolds among the tomatoes.",
	}
	football = []string{
		"The striker scored twice before the referee blew the whistle.",
		"A late penalty decided the match, and the goalkeeper wept.",
		"The league champions signed a midfielder from their rivals.",
		"Fans cheered when the defender headed the corner into the net.",
		"The coach changed the team at half time and won the cup match.",
	}
)

func TestBuiltinLearnsFromTopicsThatAUserSetManually(t *testing.T) {
	b := setup(t)
	provider, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	b.config.Providers[builtin.Provider] = provider
	b.config.DefaultProvider = builtin.Provider
	b.build(t)
	// The names of the topics do not help to choose one.
	first, second := b.topic(t, nil, "Folder Q"), b.topic(t, nil, "Folder Z")
	classified := func(user uuid.UUID, text string) schema.Document {
		t.Helper()
		d := b.Uploaded(user, text)
		if err := b.classify(t, d, 0); err != nil {
			t.Fatal(err)
		}
		b.Expect(d.ID, "classified")
		return d
	}
	topics := func(d schema.Document) []schema.DocumentTopic {
		t.Helper()
		topics, err := b.DB.DocumentTopics(t.Context(), d.ID)
		if err != nil {
			t.Fatal(err)
		}
		return topics
	}
	for i := range garden {
		for topic, text := range map[uuid.UUID]string{first: garden[i], second: football[i]} {
			d := classified(b.Alice, text)
			setTopic := func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
				return d.Edit(schema.Edit{Topics: &[]uuid.UUID{topic}}, now)
			}
			if _, err := b.DB.Transition(t.Context(), []uuid.UUID{d.ID}, setTopic); err != nil {
				t.Fatal(err)
			}
		}
	}
	const news = "In the garden the tomatoes and the lettuce grow in good soil; water the seeds."
	d := classified(b.Alice, news)
	if got := topics(d); len(got) != 1 || got[0].TopicID != first {
		t.Errorf("got topics %v, want only %s", got, first)
	}
	// The topic is explained with the documents that the user put into it.
	explanation, err := b.API.ForUser(b.Alice).Explanation(t.Context(), d.ID)
	if err != nil || len(explanation.Topics) != 1 || explanation.Topics[0].ID != first ||
		len(explanation.Topics[0].Examples) == 0 {
		t.Fatalf("got %+v, %v; want examples of topic %s", explanation, err, first)
	}
	for _, example := range explanation.Topics[0].Examples {
		if got := topics(schema.Document{ID: example}); len(got) != 1 || got[0].TopicID != first {
			t.Errorf("example %s: got topics %v, want %s", example, got, first)
		}
	}
	// A replay renews the examples, for example those of an earlier version, and nothing else.
	taught := explanation.Topics[0].Examples[0]
	example := func() (content []byte) {
		t.Helper()
		err := b.Raw.Get(&content, `SELECT example FROM document_examples WHERE document_id = $1`, taught)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	stored, before := example(), b.state(t, taught)
	b.Raw.MustExec(`UPDATE document_examples SET example = 'earlier' WHERE document_id = $1`, taught)
	if err := b.replay(t, taught, 0); err != nil {
		t.Fatal(err)
	}
	if got, after := example(), b.state(t, taught); !bytes.Equal(got, stored) || after != before {
		t.Errorf("got example %q and state %q, want %q and %q", got, after, stored, before)
	}
	if got := topics(classified(b.Bob, news)); len(got) != 0 {
		t.Errorf("got topics %v for another user's document, want none", got)
	}
}
