package postgres_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"reflect"
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

// listedDocument is a document of a listing with what the test knows about it.
type listedDocument struct {
	schema.Document
	topics []uuid.UUID
}

// selects reports whether the filter selects the document.
func (d listedDocument) selects(f postgres.Filter) bool {
	return d.Status != schema.StatusDeleting &&
		(len(f.Statuses) == 0 || slices.Contains(f.Statuses, d.Status)) &&
		(f.Topic == uuid.Nil || slices.Contains(d.topics, f.Topic)) &&
		(!f.NoTopic || len(d.topics) == 0) &&
		strings.Contains(schema.FoldCase(d.Filename), schema.FoldCase(f.Query)) &&
		!d.CreatedAt.Before(f.From) && (f.To.IsZero() || d.CreatedAt.Before(f.To))
}

// listed returns the ids of the documents that the filter selects, in its order.
func listed(all []listedDocument, f postgres.Filter) (ids []uuid.UUID) {
	var selected []listedDocument
	for _, d := range all {
		if d.selects(f) {
			selected = append(selected, d)
		}
	}
	slices.SortFunc(selected, func(a, b listedDocument) int {
		var c int
		switch f.Sort {
		case postgres.ByFilename:
			c = strings.Compare(schema.FoldCase(a.Filename), schema.FoldCase(b.Filename))
		case postgres.BySize:
			c = cmp.Compare(a.Size, b.Size)
		}
		if c == 0 {
			c = bytes.Compare(a.ID[:], b.ID[:])
		}
		if !f.Ascending {
			c = -c
		}
		return c
	})
	for _, d := range selected {
		ids = append(ids, d.ID)
	}
	return ids
}

// TestListingIsCompleteAndOrdered checks that the pages of a listing contain each selected document
// once, in the order of the listing, while other documents are created, and that the counts are the
// numbers of documents in the listings.
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
		all := drawDocuments(r, b, topics)
		checkCounts(r, db, all, topics)
		f := drawFilter(r, all, topics)
		want, got, created := listed(all, f), []uuid.UUID(nil), 0
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
				i := slices.IndexFunc(all, func(d listedDocument) bool { return d.ID == item.ID })
				if i < 0 { // it was created while the pages were read
					continue
				}
				got = append(got, item.ID)
				if len(item.Topics) != len(all[i].topics) {
					r.Fatalf("document %s: got topics %v, want %v", item.ID, item.Topics, all[i].topics)
				}
			}
			if next == nil {
				break
			}
			f.After = next
			if created++; created > 20 {
				continue // new documents may be at the end, which would never be reached
			}
			id, _ := uuid.NewV7()
			d := schema.NewDocument(id, b.alice, "x", "t", 1, time.Now())
			if _, _, err := db.CreateDocument(ctx, d, "", 1000); err != nil {
				r.Fatal(err)
			}
		}
		if !slices.Equal(got, want) {
			r.Fatalf("%+v: got documents %v, want %v", f, got, want)
		}
	})
}

// drawDocuments creates documents of alice, and one of bob.
func drawDocuments(r *rapid.T, b *bundle, topics []uuid.UUID) (all []listedDocument) {
	ctx := context.Background()
	create := func(user uuid.UUID, name string, size int64) schema.Document {
		id, _ := uuid.NewV7()
		d := schema.NewDocument(id, user, name, "t", size, time.Now())
		d, _, err := b.api.ForUser(user).CreateDocument(ctx, d, "", 100)
		if err != nil {
			r.Fatal(err)
		}
		return d
	}
	create(b.bob, "report.pdf", 1)
	for range rapid.IntRange(0, 12).Draw(r, "documents") {
		names := []string{
			"report.pdf", "100%.txt", "a_b", "a%b", `back\slash`, "ÄRGER.md", "x", "Straße", "Σίσυφος",
		}
		d := listedDocument{Document: create(b.alice, rapid.SampledFrom(names).Draw(r, "name"),
			rapid.Int64Range(0, 3).Draw(r, "size"))}
		for _, topic := range topics {
			if rapid.Bool().Draw(r, "has topic") {
				d.topics = append(d.topics, topic)
				b.raw.MustExec(`INSERT INTO document_topics VALUES ($1, $2, $3, 50)`,
					d.ID, topic, b.alice)
			}
		}
		choices := []string{"", "confirm", "delete", "expire"}
		if operation := rapid.SampledFrom(choices).Draw(r, "operation"); operation != "" {
			docs, err := b.worker.Transition(ctx, []uuid.UUID{d.ID}, operations[operation])
			if err != nil {
				r.Fatal(err)
			}
			d.Document = docs[0]
		}
		if len(d.topics) > 0 && rapid.IntRange(0, 3).Draw(r, "remove topics") == 0 {
			b.raw.MustExec(`DELETE FROM document_topics WHERE document_id = $1`, d.ID)
			d.topics = nil
		}
		all = append(all, d)
	}
	return all
}

func drawFilter(r *rapid.T, all []listedDocument, topics []uuid.UUID) postgres.Filter {
	some := []schema.Status{schema.StatusPending, schema.StatusUploaded, schema.StatusExpired,
		schema.StatusDeleting, schema.StatusClassified}
	times := []time.Time{{}, {}, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)}
	for _, d := range all {
		times = append(times, d.CreatedAt)
	}
	return postgres.Filter{
		Statuses: rapid.SliceOfN(rapid.SampledFrom(some), 0, 3).Draw(r, "statuses"),
		Topic:    rapid.SampledFrom([]uuid.UUID{uuid.Nil, topics[0], topics[1]}).Draw(r, "topic"),
		NoTopic:  rapid.IntRange(0, 3).Draw(r, "no topic") == 0,
		Query: rapid.SampledFrom([]string{
			"", "%", "_", `\`, "RePort", "är", "A_B", "RASSE", "ΣΊΣΥΦΟΣ", "ΊΣ",
		}).Draw(r, "query"),
		From:      rapid.SampledFrom(times).Draw(r, "from"),
		To:        rapid.SampledFrom(times).Draw(r, "to"),
		Sort:      rapid.SampledFrom(sorts).Draw(r, "sort"),
		Ascending: rapid.Bool().Draw(r, "ascending"),
		Limit:     rapid.IntRange(1, 5).Draw(r, "limit"),
	}
}

var sorts = []postgres.Sort{postgres.ByCreation, postgres.ByFilename, postgres.BySize}

// checkCounts compares the counts with the numbers of documents that filters select.
func checkCounts(r *rapid.T, db *postgres.DB, all []listedDocument, topics []uuid.UUID) {
	got, err := db.DocumentCounts(context.Background())
	if err != nil {
		r.Fatal(err)
	}
	want := postgres.DocumentCounts{
		ByStatus: make(map[schema.Status]int), ByTopic: make(map[uuid.UUID]int),
		NoTopic: len(listed(all, postgres.Filter{NoTopic: true})),
	}
	for _, s := range schema.Statuses {
		if s != schema.StatusDeleting {
			want.ByStatus[s] = len(listed(all, postgres.Filter{Statuses: []schema.Status{s}}))
		}
	}
	for _, topic := range topics {
		if n := len(listed(all, postgres.Filter{Topic: topic})); n > 0 {
			want.ByTopic[topic] = n
		}
	}
	if !reflect.DeepEqual(got, want) {
		r.Fatalf("got counts %+v, want %+v", got, want)
	}
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
		"query and status": {Query: "NEEDLE", Statuses: []schema.Status{schema.StatusPending}},
		"query and topic":  {Query: "NEEDLE", Topic: topic},
		"all three": {
			Query: "NEEDLE", Topic: topic, Statuses: []schema.Status{schema.StatusPending},
		},
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
	items, next, err = db.Documents(t.Context(),
		postgres.Filter{Statuses: []schema.Status{schema.StatusDeleting}})
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

// TestListingOfTimeWithSkewedClock checks that a listing of a time contains the documents that were
// stored at that time, if the time in their ids, which comes from another clock, differs.
func TestListingOfTimeWithSkewedClock(t *testing.T) {
	for _, skew := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
		t.Run(fmt.Sprint(skew), func(t *testing.T) {
			b := setupSkewed(t, skew)
			db := b.api.ForUser(b.alice)
			d, _, err := db.CreateDocument(t.Context(), newDocument(t, b.alice, 1), "", 100)
			must(t, err)
			for _, sort := range sorts {
				f := postgres.Filter{From: d.CreatedAt, To: d.CreatedAt.Add(time.Microsecond), Sort: sort}
				items, next, err := db.Documents(t.Context(), f)
				if err != nil || len(items) != 1 || next != nil {
					t.Errorf("sort %d: got %d documents, cursor %v and error %v, want the document",
						sort, len(items), next, err)
				}
			}
		})
	}
}
