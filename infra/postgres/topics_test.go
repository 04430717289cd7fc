package postgres_test

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

func TestTopics(t *testing.T) {
	b := setup(t)
	alice, bob, admin := b.api.ForUser(b.alice), b.api.ForUser(b.bob), b.api.ForUser(b.administrator)
	system := schema.Topic{
		ID: newID(t), Name: "Invoices", Description: "d",
		Keywords: []string{"pay", `a "quoted", one`},
	}
	own := schema.Topic{
		ID: newID(t), UserID: &b.alice, Name: "invoices", Keywords: []string{},
	}
	userTopic := func(name string) schema.Topic {
		return schema.Topic{ID: newID(t), UserID: &b.alice, Name: name}
	}
	t.Run("only administrators create system topics", func(t *testing.T) {
		wantCode(t, alice.CreateTopic(t.Context(), system), schema.CodeForbidden)
		must(t, admin.CreateTopic(t.Context(), system))
	})
	t.Run("names are unique among system topics and among a user's", func(t *testing.T) {
		must(t, alice.CreateTopic(t.Context(), own))
		must(t, bob.CreateTopic(t.Context(), userTopic("Invoices"))) // becomes a topic of bob
		again := schema.Topic{ID: newID(t), Name: "INVOICES"}
		wantCode(t, admin.CreateTopic(t.Context(), again), schema.CodeNameTaken)
		wantCode(t, alice.CreateTopic(t.Context(), userTopic("Invoices")), schema.CodeNameTaken)
	})
	t.Run("users see system topics and their own", func(t *testing.T) {
		topics, err := alice.Topics(t.Context())
		must(t, err)
		if want := []schema.Topic{system, own}; !reflect.DeepEqual(topics, want) {
			t.Errorf("alice: got topics %+v, want %+v", topics, want)
		}
		topics, err = bob.Topics(t.Context())
		must(t, err)
		if len(topics) != 2 || *topics[1].UserID != b.bob {
			t.Errorf("bob: got topics %+v, want the system topic and one of bob", topics)
		}
		topics, err = alice.SystemTopics(t.Context())
		must(t, err)
		if len(topics) != 1 {
			t.Errorf("got system topics %+v, want 1", topics)
		}
	})
	name := "Bills"
	t.Run("update keeps what the patch does not set", func(t *testing.T) {
		patch := postgres.TopicPatch{Name: &name, Keywords: &[]string{}, Suggested: ptr(false)}
		got, err := admin.UpdateTopic(t.Context(), schema.ScopeSystem, system.ID, patch)
		must(t, err)
		if got.Name != "Bills" || got.Description != "d" || len(got.Keywords) != 0 {
			t.Errorf("got %+v, want a new name, no keywords and the old description", got)
		}
	})
	t.Run("update to a name in use is rejected", func(t *testing.T) {
		must(t, alice.CreateTopic(t.Context(), userTopic("Other")))
		taken := postgres.TopicPatch{Name: ptr("OTHER")}
		_, err := alice.UpdateTopic(t.Context(), schema.ScopeUser, own.ID, taken)
		wantCode(t, err, schema.CodeNameTaken)
	})
	t.Run("topics of another scope or user cannot be changed", func(t *testing.T) {
		for _, rejected := range []struct {
			db    *postgres.DB
			scope schema.Scope
			id    uuid.UUID
			code  schema.Code
		}{
			{bob, schema.ScopeUser, own.ID, schema.CodeNotFound},
			{alice, schema.ScopeUser, system.ID, schema.CodeNotFound},
			{alice, schema.ScopeSystem, system.ID, schema.CodeForbidden},
			{admin, schema.ScopeSystem, own.ID, schema.CodeNotFound},
			{admin, schema.ScopeUser, own.ID, schema.CodeNotFound},
		} {
			patch := postgres.TopicPatch{Name: &name}
			_, err := rejected.db.UpdateTopic(t.Context(), rejected.scope, rejected.id, patch)
			wantCode(t, err, rejected.code)
			err = rejected.db.DeleteTopic(t.Context(), rejected.scope, rejected.id)
			wantCode(t, err, rejected.code)
		}
	})
	t.Run("deleted topic is not found", func(t *testing.T) {
		must(t, alice.DeleteTopic(t.Context(), schema.ScopeUser, own.ID))
		must(t, admin.DeleteTopic(t.Context(), schema.ScopeSystem, system.ID))
		err := alice.DeleteTopic(t.Context(), schema.ScopeUser, own.ID)
		wantCode(t, err, schema.CodeNotFound)
	})
}

func TestSuggestTopicsIgnoresSpelling(t *testing.T) {
	b := setup(t)
	system := schema.Topic{ID: newID(t), Name: "Invoices"}
	must(t, b.api.ForUser(b.administrator).CreateTopic(t.Context(), system))
	b.topic(t, &b.bob, "Boats")
	propose := func(names ...string) []schema.Topic {
		var topics []schema.Topic
		for _, n := range names {
			topics = append(topics, schema.Topic{ID: newID(t), Name: n})
		}
		got, err := b.worker.SuggestTopics(t.Context(), b.alice, topics)
		must(t, err)
		return got
	}
	got := propose("INVOICES", "Boats", "boats")
	if len(got) != 3 || got[0].ID != system.ID || got[0].Suggested || got[1].ID != got[2].ID ||
		!got[1].Suggested || *got[1].UserID != b.alice {
		t.Errorf("got %+v, want the system topic and twice the same new topic of alice", got)
	}
	for _, spelling := range []string{"BOATS", "boat", "Ｂｏａｔｓ", " boats-"} {
		if again := propose(spelling); len(again) != 1 || again[0].ID != got[1].ID {
			t.Errorf("%q: got %+v, want the existing topic", spelling, again)
		}
	}
}

func TestConcurrentSuggestionsCreateOneTopic(t *testing.T) {
	b := setup(t)
	var all sync.WaitGroup
	for _, name := range []string{"Boat", "Boats", "boats", "BOAT", "boat"} {
		id := newID(t)
		all.Go(func() {
			topics := []schema.Topic{{ID: id, Name: name}}
			if _, err := b.worker.SuggestTopics(t.Context(), b.alice, topics); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := count(t, b.raw, `SELECT count(*) FROM topics`); n != 1 {
		t.Errorf("got %d topics, want 1", n)
	}
}

func TestSuggestionLimitPerUser(t *testing.T) {
	b := setup(t)
	var many []schema.Topic
	for i := range postgres.MaxSuggestedTopics + 10 {
		many = append(many, schema.Topic{ID: newID(t), Name: fmt.Sprintf("Topic %d", i)})
	}
	got, err := b.worker.SuggestTopics(t.Context(), b.alice, many)
	must(t, err)
	n := count(t, b.raw, `SELECT count(*) FROM topics WHERE suggested`)
	if n != postgres.MaxSuggestedTopics || len(got) != n {
		t.Errorf("got %d stored and %d returned topics, want %d",
			n, len(got), postgres.MaxSuggestedTopics)
	}
	got, err = b.worker.SuggestTopics(t.Context(), newID(t), many[:1])
	if err != nil || len(got) != 0 {
		t.Errorf("unknown user: got %v and error %v, want no topics", got, err)
	}
}

func TestTopicsAboveTheLimitStayUsable(t *testing.T) {
	b := setup(t)
	for _, statement := range []string{
		`ALTER TABLE topics DISABLE TRIGGER topics_limit`, // as before there was a limit
		fmt.Sprintf(`INSERT INTO topics (id, user_id, name) SELECT gen_random_uuid(), '%s', 'Topic ' || i
			FROM generate_series(1, %d) AS i`, b.alice, schema.MaxTopics+10),
		`ALTER TABLE topics ENABLE TRIGGER topics_limit`,
	} {
		if _, err := b.raw.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	alice := b.api.ForUser(b.alice)
	topics, err := alice.Topics(t.Context())
	must(t, err)
	if len(topics) != schema.MaxTopics+10 {
		t.Fatalf("got %d topics, want %d", len(topics), schema.MaxTopics+10)
	}
	renamed := postgres.TopicPatch{Name: ptr("Renamed")}
	_, err = alice.UpdateTopic(t.Context(), schema.ScopeUser, topics[0].ID, renamed)
	must(t, err)
	must(t, alice.DeleteTopic(t.Context(), schema.ScopeUser, topics[1].ID))
	more := schema.Topic{ID: newID(t), UserID: &b.alice, Name: "More"}
	wantCode(t, alice.CreateTopic(t.Context(), more), schema.CodeTooManyTopics)

	got, err := b.worker.SuggestTopics(t.Context(), b.alice, []schema.Topic{
		{ID: newID(t), Name: "Suggested"}, {ID: newID(t), Name: topics[2].Name},
	})
	must(t, err)
	if len(got) != 1 || got[0].ID != topics[2].ID {
		t.Errorf("got suggested topics %+v, want only the existing %+v", got, topics[2])
	}
}

func TestCountAICallPerDay(t *testing.T) {
	b := setup(t)
	today := time.Date(2026, 11, 23, 23, 59, 0, 0, time.UTC)
	call := func(user uuid.UUID, at time.Time, want bool) {
		t.Helper()
		ok, err := b.worker.CountAICall(t.Context(), user, 2, at)
		if err != nil || ok != want {
			t.Errorf("CountAICall: got %v and error %v, want %v", ok, err, want)
		}
	}
	call(b.alice, today, true)
	call(b.alice, today, true)
	call(b.alice, today, false)
	call(b.alice, today, false)
	call(b.bob, today, true)
	call(b.alice, today.Add(time.Hour), true)
	call(newID(t), today, false)
	if ok, err := b.worker.CountAICall(t.Context(), b.bob, 0, today); err != nil || ok {
		t.Errorf("limit 0: got %v and error %v, want false", ok, err)
	}
	if all, err := b.worker.AllAISettings(t.Context()); err != nil || len(all) < 2 {
		t.Errorf("AllAISettings: got %+v and error %v, want those of all users", all, err)
	}
	s, err := b.worker.UserAISettings(t.Context(), newID(t))
	if err != nil || s != (postgres.AISettings{}) {
		t.Errorf("unknown user: got settings %+v and error %v, want empty settings", s, err)
	}
}

func TestSeedTopicsRequiresEmptyTable(t *testing.T) {
	b := setup(t)
	n, err := b.owner.SeedTopics(t.Context(), schema.StarterTopics)
	must(t, err)
	if n != len(schema.StarterTopics) {
		t.Errorf("got %d stored topics, want %d", n, len(schema.StarterTopics))
	}
	n, err = b.owner.SeedTopics(t.Context(), schema.StarterTopics)
	must(t, err)
	all := count(t, b.raw, `SELECT count(*) FROM topics WHERE user_id IS NULL`)
	if n != 0 || all != len(schema.StarterTopics) {
		t.Errorf("second call: got %d stored and %d existing topics, want 0 and %d",
			n, all, len(schema.StarterTopics))
	}
}

func TestClassifyInputContainsOnlyOwnersData(t *testing.T) {
	b := setup(t)
	b.topic(t, nil, "System")
	b.topic(t, &b.alice, "Alice's")
	b.topic(t, &b.bob, "Bob's")
	patch := postgres.UserPatch{
		LimitBytes: ptr(int64(77)), AIProvider: ptr("ollama"), AIModel: ptr("m"),
	}
	u, err := b.api.ForUser(b.administrator).ChangeUser(t.Context(), b.alice, patch)
	must(t, err)
	if u.AIProvider != "ollama" || u.Quota.LimitBytes != 77 || u.Quota.UserID != b.alice {
		t.Errorf("got user %+v, want the patched values", u)
	}
	d := b.uploaded(t, b.alice, "f", 1)
	other := b.uploaded(t, b.bob, "f", 1)
	inputs, err := b.worker.ClassifyInputs(t.Context(), []uuid.UUID{newID(t), other.ID, d.ID})
	must(t, err)
	if len(inputs) != 2 {
		t.Errorf("got %d inputs, want 2 without that of an unknown document", len(inputs))
	}
	for _, c := range []struct {
		document schema.Document
		settings postgres.AISettings
		topics   []string
	}{
		{d, postgres.AISettings{Provider: "ollama", Model: "m"}, []string{"System", "Alice's"}},
		{other, postgres.AISettings{}, []string{"System", "Bob's"}},
	} {
		got := inputs[c.document.ID]
		var topics []string
		for _, topic := range got.Topics {
			topics = append(topics, topic.Name)
		}
		if got.Document.ID != c.document.ID || got.Settings != c.settings ||
			!slices.Equal(topics, c.topics) {
			t.Errorf("got document %s, settings %+v and topics %q, want %s, %+v and %q",
				got.Document.ID, got.Settings, topics, c.document.ID, c.settings, c.topics)
		}
	}
}
