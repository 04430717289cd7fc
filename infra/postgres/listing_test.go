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

// TestListingIsCompleteAndOrdered checks that the pages of a listing contain each selected document
// once, newest first, while other documents are created.
func TestListingIsCompleteAndOrdered(t *testing.T) {
	b := setup(t)
	topics := []uuid.UUID{newID(t), newID(t)}
	for i, id := range topics {
		topic := schema.Topic{ID: id, UserID: &b.alice, Name: []string{"One", "Two"}[i]}
		must(t, b.api.ForUser(b.alice).CreateTopic(t.Context(), topic))
	}
	ctx := context.Background()
	db := b.api.ForUser(b.alice)
	rapid.Check(t, func(r *rapid.T) {
		b.raw.MustExec(`DELETE FROM documents; DELETE FROM object_deletions;
			UPDATE quotas SET used_bytes = 0`)
		type stored struct {
			schema.Document
			topics []uuid.UUID
		}
		var all []stored
		for range rapid.IntRange(0, 12).Draw(r, "documents") {
			id, _ := uuid.NewV7()
			names := []string{"report.pdf", "100%.txt", "a_b", "a%b", `back\slash`, "ÄRGER.md", "x"}
			name := rapid.SampledFrom(names).Draw(r, "name")
			d := schema.NewDocument(id, b.alice, name, "t", 1, time.Now())
			d, _, err := db.CreateDocument(ctx, d, "", 100)
			if err != nil {
				r.Fatal(err)
			}
			s := stored{Document: d}
			choices := []string{"", "confirm", "delete", "expire"}
			if operation := rapid.SampledFrom(choices).Draw(r, "operation"); operation != "" {
				docs, err := b.worker.Transition(ctx, []uuid.UUID{id}, operations[operation])
				if err != nil {
					r.Fatal(err)
				}
				s.Document = docs[0]
			}
			for _, topic := range topics {
				if rapid.Bool().Draw(r, "has topic") {
					s.topics = append(s.topics, topic)
					b.raw.MustExec(`INSERT INTO document_topics VALUES ($1, $2, $3, 50)`,
						id, topic, b.alice)
				}
			}
			all = append(all, s)
		}
		statuses := []schema.Status{
			"", schema.StatusPending, schema.StatusUploaded, schema.StatusDeleting,
		}
		f := postgres.Filter{
			Status: rapid.SampledFrom(statuses).Draw(r, "status"),
			Topic:  rapid.SampledFrom([]uuid.UUID{uuid.Nil, topics[0], topics[1]}).Draw(r, "topic"),
			Query: rapid.SampledFrom([]string{"", "%", "_", `\`, "RePort", "är", "A_B"}).
				Draw(r, "query"),
			Limit: rapid.IntRange(1, 5).Draw(r, "limit"),
		}
		var want, got []uuid.UUID
		for _, s := range slices.Backward(all) {
			if s.Status != schema.StatusDeleting &&
				(f.Status == "" || s.Status == f.Status) &&
				(f.Topic == uuid.Nil || slices.Contains(s.topics, f.Topic)) &&
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
				r.Fatalf("got a page of %d items and cursor %v, want at most %d, and as many "+
					"unless it is the last page", len(items), next, f.Limit)
			}
			for _, item := range items {
				got = append(got, item.ID)
				i := slices.IndexFunc(all, func(s stored) bool { return s.ID == item.ID })
				if len(item.Topics) != len(all[i].topics) {
					r.Fatalf("document %s: got topics %v, want %v", item.ID, item.Topics, all[i].topics)
				}
			}
			if next == nil {
				break
			}
			f.After = next
			id, _ := uuid.NewV7()
			d := schema.NewDocument(id, b.alice, "x", "t", 1, time.Now())
			if _, _, err := db.CreateDocument(ctx, d, "", 1000); err != nil {
				r.Fatal(err)
			}
		}
		if !slices.Equal(got, want) {
			r.Fatalf("got documents %v, want %v", got, want)
		}
	})
}

// TestListingScanIsBounded checks that each page scans at most a fixed number of documents if a
// filter selects few of many, and that the pages together contain all selected documents.
func TestListingScanIsBounded(t *testing.T) {
	b := setup(t)
	topic := newID(t)
	must(t, b.api.ForUser(b.alice).CreateTopic(t.Context(),
		schema.Topic{ID: topic, UserID: &b.alice, Name: "All"}))
	docs := make([]schema.Document, 11_000)
	var want []uuid.UUID
	for i := range docs {
		docs[i] = schema.NewDocument(newID(t), b.alice, "a.txt", "t", 1, time.Now())
		if i == 0 || i == 5_500 || i == len(docs)-1 {
			docs[i].Filename = "needle.txt"
			want = append([]uuid.UUID{docs[i].ID}, want...)
		}
	}
	must(t, postgrestest.AddDocuments(t.Context(), b.raw, docs))
	b.raw.MustExec(`
		INSERT INTO document_topics (document_id, user_id, topic_id, confidence)
		SELECT id, user_id, $1, 50 FROM documents`, topic)
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
				t.Errorf("got %v on %d pages, want %v on 3 pages", got, pages, want)
			}
		})
	}
}

// TestListingPassesOverDeletingDocuments checks that a page scans at most a fixed number of
// documents that are being deleted, and that the next pages contain the others.
func TestListingPassesOverDeletingDocuments(t *testing.T) {
	b := setup(t)
	docs := make([]schema.Document, 6000)
	for i := range docs {
		docs[i] = newDocument(t, b.alice, 1)
		if i > 1 {
			docs[i].Status = schema.StatusDeleting
		}
	}
	must(t, postgrestest.AddDocuments(t.Context(), b.raw, docs))
	db := b.api.ForUser(b.alice)
	items, next, err := db.Documents(t.Context(), postgres.Filter{})
	if err != nil || len(items) != 0 || next == nil {
		t.Fatalf("first page: got %d items, cursor %v and error %v, want none and a cursor",
			len(items), next, err)
	}
	items, next, err = db.Documents(t.Context(), postgres.Filter{After: next})
	if err != nil || len(items) != 2 || items[1].ID != docs[0].ID || next != nil {
		t.Errorf("second page: got %d items, cursor %v and error %v, want the 2 oldest and no cursor",
			len(items), next, err)
	}
	items, next, err = db.Documents(t.Context(), postgres.Filter{Status: schema.StatusDeleting})
	if err != nil || len(items) != 0 || next != nil {
		t.Errorf("deleting: got %d items, cursor %v and error %v, want none", len(items), next, err)
	}
}

func TestDocumentsByID(t *testing.T) {
	b := setup(t)
	own, gone := newDocument(t, b.alice, 1), newDocument(t, b.alice, 1)
	bobs := newDocument(t, b.bob, 1)
	must(t, postgrestest.AddDocuments(t.Context(), b.raw, []schema.Document{own, gone, bobs}))
	b.raw.MustExec(`UPDATE documents SET status = 'deleting', gone_at = now() WHERE id = $1`, gone.ID)
	ids := []uuid.UUID{bobs.ID, gone.ID, own.ID, newID(t)}
	views, err := b.api.ForUser(b.alice).DocumentsByID(t.Context(), ids)
	if err != nil || len(views) != 1 || views[0].ID != own.ID {
		t.Errorf("got %+v and error %v, want only document %s", views, err, own.ID)
	}
}
