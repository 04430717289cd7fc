package postgres_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// Page after page, a listing gives each document that the filter chooses once, newest first, while
// others come and go.
func TestListingIsCompleteAndInOrder(t *testing.T) {
	b := setup(t)
	topics := []uuid.UUID{newID(t), newID(t)}
	for i, id := range topics {
		must(t, b.api.ForUser(b.alice).CreateTopic(t.Context(), schema.Topic{ID: id, UserID: &b.alice, Name: []string{"One", "Two"}[i]}))
	}
	ctx := context.Background()
	db := b.api.ForUser(b.alice)
	rapid.Check(t, func(r *rapid.T) {
		b.raw.MustExec(`DELETE FROM documents; DELETE FROM object_deletions; UPDATE quotas SET used_bytes = 0`)
		type stored struct {
			schema.Document
			topics []uuid.UUID
		}
		var all []stored
		for range rapid.IntRange(0, 12).Draw(r, "documents") {
			id, _ := uuid.NewV7()
			name := rapid.SampledFrom([]string{"report.pdf", "100%.txt", "a_b", "a%b", `back\slash`, "ÄRGER.md", "x"}).Draw(r, "name")
			d, _, err := db.CreateDocument(ctx, schema.NewDocument(id, b.alice, name, "t", 1, time.Now()), "", 100)
			if err != nil {
				r.Fatal(err)
			}
			s := stored{Document: d}
			if operation := rapid.SampledFrom([]string{"", "confirm", "delete", "expire"}).Draw(r, "operation"); operation != "" {
				docs, err := b.worker.Transition(ctx, []uuid.UUID{id}, operations[operation])
				if err != nil {
					r.Fatal(err)
				}
				s.Document = docs[0]
			}
			for _, topic := range topics {
				if rapid.Bool().Draw(r, "has topic") {
					s.topics = append(s.topics, topic)
					b.raw.MustExec(`INSERT INTO document_topics VALUES ($1, $2, $3, 50)`, id, topic, b.alice)
				}
			}
			all = append(all, s)
		}
		f := postgres.Filter{
			Status: rapid.SampledFrom([]schema.Status{"", schema.StatusPending, schema.StatusUploaded, schema.StatusDeleting}).Draw(r, "status"),
			Topic:  rapid.SampledFrom([]uuid.UUID{uuid.Nil, topics[0], topics[1]}).Draw(r, "topic"),
			Query:  rapid.SampledFrom([]string{"", "%", "_", `\`, "RePort", "är", "A_B"}).Draw(r, "query"),
			Limit:  rapid.IntRange(1, 5).Draw(r, "limit"),
		}
		var want, got []uuid.UUID
		for _, s := range slices.Backward(all) {
			if s.Status != schema.StatusDeleting && (f.Status == "" || s.Status == f.Status) && (f.Topic == uuid.Nil || slices.Contains(s.topics, f.Topic)) &&
				strings.Contains(strings.ToLower(s.Filename), strings.ToLower(f.Query)) {
				want = append(want, s.ID)
			}
		}
		for {
			items, next, err := db.Documents(ctx, f)
			if err != nil {
				r.Fatal(err)
			}
			if len(items) > f.Limit || (next != nil && len(items) < f.Limit) {
				r.Fatalf("%d items on a page of %d, next %v", len(items), f.Limit, next)
			}
			for _, item := range items {
				got = append(got, item.ID)
				i := slices.IndexFunc(all, func(s stored) bool { return s.ID == item.ID })
				if len(item.Topics) != len(all[i].topics) {
					r.Fatalf("%s has topics %v, want %v", item.ID, item.Topics, all[i].topics)
				}
			}
			if next == nil {
				break
			}
			f.After = next
			id, _ := uuid.NewV7()
			if _, _, err := db.CreateDocument(ctx, schema.NewDocument(id, b.alice, "x", "t", 1, time.Now()), "", 1000); err != nil {
				r.Fatal(err)
			}
		}
		if !slices.Equal(got, want) {
			r.Fatalf("%v, want %v", got, want)
		}
	})
}

// Where a filter chooses few of many documents, the pages look at a bounded number each and still
// find all of them.
func TestListingOfManyDocuments(t *testing.T) {
	b := setup(t)
	topic := newID(t)
	must(t, b.api.ForUser(b.alice).CreateTopic(t.Context(), schema.Topic{ID: topic, UserID: &b.alice, Name: "All"}))
	docs := make([]schema.Document, 45_000)
	var want []uuid.UUID
	for i := range docs {
		docs[i] = schema.NewDocument(newID(t), b.alice, "a.txt", "t", 1, time.Now())
		if i == 0 || i == 22_000 || i == len(docs)-1 {
			docs[i].Filename = "needle.txt"
			want = append([]uuid.UUID{docs[i].ID}, want...)
		}
	}
	must(t, postgrestest.AddDocuments(t.Context(), b.raw, docs))
	b.raw.MustExec(`INSERT INTO document_topics (document_id, user_id, topic_id, confidence) SELECT id, user_id, $1, 50 FROM documents`, topic)
	for name, f := range map[string]postgres.Filter{
		"query":            {Query: "NEEDLE"},
		"query and status": {Query: "NEEDLE", Status: schema.StatusPending},
		"query and topic":  {Query: "NEEDLE", Topic: topic},
		"all three":        {Query: "NEEDLE", Topic: topic, Status: schema.StatusPending},
	} {
		t.Run(name, func(t *testing.T) {
			var got []uuid.UUID
			pages := 0
			for next := (*postgres.Cursor)(nil); pages == 0 || next != nil; pages++ {
				f.After = next
				items, after, err := b.api.ForUser(b.alice).Documents(t.Context(), f)
				if err != nil {
					t.Fatal(err)
				}
				for _, item := range items {
					got = append(got, item.ID)
				}
				next = after
			}
			if !slices.Equal(got, want) || pages != 3 {
				t.Errorf("%v on %d pages, want %v on 3", got, pages, want)
			}
		})
	}
}

// The views of several documents are those that the user has of each.
func TestDocumentsByID(t *testing.T) {
	b := setup(t)
	mine, gone, bobs := newID(t), newID(t), newID(t)
	must(t, postgrestest.AddDocuments(t.Context(), b.raw, []schema.Document{
		schema.NewDocument(mine, b.alice, "a", "t", 1, time.Now()), schema.NewDocument(gone, b.alice, "a", "t", 1, time.Now()),
		schema.NewDocument(bobs, b.bob, "a", "t", 1, time.Now()),
	}))
	b.raw.MustExec(`UPDATE documents SET status = 'deleting', gone_at = now() WHERE id = $1`, gone)
	views, err := b.api.ForUser(b.alice).DocumentsByID(t.Context(), []uuid.UUID{bobs, gone, mine, newID(t)})
	if err != nil || len(views) != 1 || views[0].ID != mine {
		t.Errorf("%+v, %v", views, err)
	}
}
