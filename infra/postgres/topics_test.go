package postgres_test

import (
	"fmt"
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
	ctx := t.Context()
	alice, bob, admin := b.api.ForUser(b.alice), b.api.ForUser(b.bob), b.api.ForUser(b.administrator)
	system := schema.Topic{ID: newID(t), Name: "Invoices", Description: "d", Keywords: []string{"pay", `a "quoted", one`}}
	own := schema.Topic{ID: newID(t), UserID: &b.alice, Name: "invoices"}

	wantCode(t, alice.CreateTopic(ctx, system), schema.CodeForbidden)
	must(t, admin.CreateTopic(ctx, system))
	must(t, alice.CreateTopic(ctx, own)) // another namespace
	must(t, bob.CreateTopic(ctx, schema.Topic{ID: newID(t), UserID: &b.alice, Name: "Invoices"}))
	wantCode(t, admin.CreateTopic(ctx, schema.Topic{ID: newID(t), Name: "INVOICES"}), schema.CodeNameTaken)
	wantCode(t, alice.CreateTopic(ctx, schema.Topic{ID: newID(t), UserID: &b.alice, Name: "Invoices"}), schema.CodeNameTaken)

	topics, err := alice.Topics(ctx)
	must(t, err)
	if len(topics) != 2 || topics[0].ID != system.ID || !slices.Equal(topics[0].Keywords, system.Keywords) || topics[0].Scope() != schema.ScopeSystem ||
		topics[1].ID != own.ID || topics[1].Scope() != schema.ScopeUser {
		t.Errorf("alice's topics: %+v", topics)
	}
	topics, err = bob.Topics(ctx)
	must(t, err)
	if len(topics) != 2 || *topics[1].UserID != b.bob {
		t.Errorf("bob's topics: %+v", topics)
	}
	topics, err = alice.SystemTopics(ctx)
	must(t, err)
	if len(topics) != 1 {
		t.Errorf("system topics: %+v", topics)
	}

	name, keywords, kept := "Bills", []string{}, false
	got, err := admin.UpdateTopic(ctx, schema.ScopeSystem, system.ID, postgres.TopicPatch{Name: &name, Keywords: &keywords, Suggested: &kept})
	must(t, err)
	if got.Name != "Bills" || got.Description != "d" || len(got.Keywords) != 0 {
		t.Errorf("updated: %+v", got)
	}
	must(t, alice.CreateTopic(ctx, schema.Topic{ID: newID(t), UserID: &b.alice, Name: "Other"}))
	other := "OTHER"
	_, err = alice.UpdateTopic(ctx, schema.ScopeUser, own.ID, postgres.TopicPatch{Name: &other})
	wantCode(t, err, schema.CodeNameTaken)
	for _, refused := range []struct {
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
		_, err = refused.db.UpdateTopic(ctx, refused.scope, refused.id, postgres.TopicPatch{Name: &name})
		wantCode(t, err, refused.code)
		wantCode(t, refused.db.DeleteTopic(ctx, refused.scope, refused.id), refused.code)
	}
	must(t, alice.DeleteTopic(ctx, schema.ScopeUser, own.ID))
	must(t, admin.DeleteTopic(ctx, schema.ScopeSystem, system.ID))
	wantCode(t, alice.DeleteTopic(ctx, schema.ScopeUser, own.ID), schema.CodeNotFound)
}

func TestSuggestedTopicsNeverSpellOneTwice(t *testing.T) {
	b := setup(t)
	system := schema.Topic{ID: newID(t), Name: "Invoices"}
	must(t, b.api.ForUser(b.administrator).CreateTopic(t.Context(), system))
	must(t, b.api.ForUser(b.bob).CreateTopic(t.Context(), schema.Topic{ID: newID(t), UserID: &b.bob, Name: "Boats"}))
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
	if len(got) != 3 || got[0].ID != system.ID || got[0].Suggested || got[1].ID != got[2].ID || !got[1].Suggested || *got[1].UserID != b.alice {
		t.Errorf("suggested %+v", got)
	}
	for _, spelling := range []string{"BOATS", "boat", "Ｂｏａｔｓ", " boats-"} {
		if again := propose(spelling); len(again) != 1 || again[0].ID != got[1].ID {
			t.Errorf("%q suggested again %+v", spelling, again)
		}
	}
}

func TestSuggestionsSideBySideMakeOneTopic(t *testing.T) {
	b := setup(t)
	var all sync.WaitGroup
	for _, name := range []string{"Boat", "Boats", "boats", "BOAT", "boat"} {
		id := newID(t)
		all.Go(func() {
			if _, err := b.worker.SuggestTopics(t.Context(), b.alice, []schema.Topic{{ID: id, Name: name}}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := count(t, b.raw, `SELECT count(*) FROM topics`); n != 1 {
		t.Errorf("%d topics, want 1", n)
	}
}

func TestSuggestionsAreBounded(t *testing.T) {
	b := setup(t)
	var many []schema.Topic
	for i := range postgres.MaxSuggestedTopics + 10 {
		many = append(many, schema.Topic{ID: newID(t), Name: fmt.Sprintf("Topic %d", i)})
	}
	got, err := b.worker.SuggestTopics(t.Context(), b.alice, many)
	must(t, err)
	if n := count(t, b.raw, `SELECT count(*) FROM topics WHERE suggested`); n != postgres.MaxSuggestedTopics || len(got) != n {
		t.Errorf("%d topics and %d returned, want %d", n, len(got), postgres.MaxSuggestedTopics)
	}
	if got, err := b.worker.SuggestTopics(t.Context(), newID(t), many[:1]); err != nil || len(got) != 0 {
		t.Errorf("to nobody: %v, %v", got, err)
	}
}

func TestAICallsAreCountedByDay(t *testing.T) {
	b := setup(t)
	today := time.Date(2026, 11, 23, 23, 59, 0, 0, time.UTC)
	call := func(user uuid.UUID, at time.Time, want bool) {
		t.Helper()
		if ok, err := b.worker.CountAICall(t.Context(), user, 2, at); err != nil || ok != want {
			t.Errorf("CountAICall = %v, %v; want %v", ok, err, want)
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
		t.Errorf("with a limit of 0: %v, %v", ok, err)
	}
	if all, err := b.worker.AllAISettings(t.Context()); err != nil || len(all) < 2 {
		t.Errorf("settings of all: %+v, %v", all, err)
	}
	if s, err := b.worker.UserAISettings(t.Context(), newID(t)); err != nil || s != (postgres.AISettings{}) {
		t.Errorf("settings of nobody: %+v, %v", s, err)
	}
}

func TestSeedTopicsOnlyIntoAnEmptyTable(t *testing.T) {
	b := setup(t)
	n, err := b.owner.SeedTopics(t.Context(), schema.StarterTopics)
	must(t, err)
	if n != len(schema.StarterTopics) {
		t.Errorf("%d seeded", n)
	}
	n, err = b.owner.SeedTopics(t.Context(), schema.StarterTopics)
	must(t, err)
	if n != 0 || count(t, b.raw, `SELECT count(*) FROM topics WHERE user_id IS NULL`) != len(schema.StarterTopics) {
		t.Errorf("%d seeded the second time", n)
	}
}

func TestClassifyInputIsTheOwners(t *testing.T) {
	b := setup(t)
	must(t, b.api.ForUser(b.administrator).CreateTopic(t.Context(), schema.Topic{ID: newID(t), Name: "System"}))
	must(t, b.api.ForUser(b.alice).CreateTopic(t.Context(), schema.Topic{ID: newID(t), UserID: &b.alice, Name: "Alice's"}))
	must(t, b.api.ForUser(b.bob).CreateTopic(t.Context(), schema.Topic{ID: newID(t), UserID: &b.bob, Name: "Bob's"}))
	provider, model, limit := "ollama", "m", int64(77)
	u, err := b.api.ForUser(b.administrator).ChangeUser(t.Context(), b.alice, postgres.UserPatch{LimitBytes: &limit, AIProvider: &provider, AIModel: &model})
	must(t, err)
	if u.AIProvider != "ollama" || u.Quota.LimitBytes != 77 || u.Quota.UserID != b.alice {
		t.Errorf("changed %+v", u)
	}
	d := b.uploaded(t, b.alice, "f", 1)
	got, ai, topics, err := b.worker.ClassifyInput(t.Context(), d.ID)
	must(t, err)
	if got.ID != d.ID || ai != (postgres.AISettings{Provider: "ollama", Model: "m"}) || len(topics) != 2 || topics[0].Name != "System" || topics[1].Name != "Alice's" {
		t.Errorf("%+v %+v %+v", got, ai, topics)
	}
	_, _, _, err = b.worker.ClassifyInput(t.Context(), newID(t))
	wantCode(t, err, schema.CodeNotFound)
}
