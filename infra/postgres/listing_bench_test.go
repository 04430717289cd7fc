package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// BenchmarkListing measures a page of 50 items for a user with 10,000 documents and for a user with
// 1,000,000, in the same table, with filters that select all documents, half of them, few or none.
func BenchmarkListing(bench *testing.B) {
	b := setup(bench)
	half, rare := newID(bench), newID(bench)
	b.raw.MustExec(`
		INSERT INTO topics (id, user_id, name) VALUES ($1, NULL, 'Half'), ($2, NULL, 'Rare')`,
		half, rare)
	owners := []struct {
		name string
		id   uuid.UUID
		n    int
	}{{"10k", b.bob, 10_000}, {"1M", b.alice, 1_000_000}}
	for _, o := range owners {
		fill(bench, b, o.id, o.n)
	}
	b.raw.MustExec(`
		INSERT INTO document_topics (document_id, user_id, topic_id, confidence)
		SELECT id, user_id, CASE WHEN filename LIKE 'rare%' THEN $2::uuid ELSE $1 END, 90
		FROM documents
		WHERE filename LIKE 'rare%' OR filename LIKE '%0.pdf' OR filename LIKE '%2.pdf'
			OR filename LIKE '%4.pdf' OR filename LIKE '%6.pdf' OR filename LIKE '%8.pdf'`, half, rare)
	b.raw.MustExec(`VACUUM ANALYZE documents, document_topics`)

	for _, c := range []struct {
		name   string
		filter postgres.Filter
	}{
		{"all", postgres.Filter{}},
		{"status-common", postgres.Filter{Statuses: []schema.Status{schema.StatusClassified}}},
		{"status-rare", postgres.Filter{Statuses: []schema.Status{schema.StatusPending}}},
		{"status-none", postgres.Filter{Statuses: []schema.Status{schema.StatusExpired}}},
		{"topic-half", postgres.Filter{Topic: half}},
		{"topic-rare", postgres.Filter{Topic: rare}},
		{"topic-half-status-rare", postgres.Filter{Topic: half, Statuses: []schema.Status{schema.StatusPending}}},
		{"q-common", postgres.Filter{Query: "INVOICE"}},
		{"q-none", postgres.Filter{Query: "nothing like it"}},
		{"q-none-status", postgres.Filter{Query: "nothing like it", Statuses: []schema.Status{schema.StatusClassified}}},
		{"q-none-topic", postgres.Filter{Query: "nothing like it", Topic: half}},
		{"statuses-rare", postgres.Filter{Statuses: inProgress}},
		{"statuses-common", postgres.Filter{Statuses: counted}},
		{"q-none-statuses", postgres.Filter{Query: "nothing like it", Statuses: counted}},
		{"topic-none", postgres.Filter{NoTopic: true}},
		{"topic-none-status-rare", postgres.Filter{NoTopic: true, Statuses: inProgress}},
		{"past-hour", postgres.Filter{From: time.Now().Add(-time.Hour)}},
		{"past-hour-topic-half", postgres.Filter{From: time.Now().Add(-time.Hour), Topic: half}},
		{"before-all", postgres.Filter{To: time.Now().Add(-24 * time.Hour)}},
		{"filename", postgres.Filter{Sort: postgres.ByFilename, Ascending: true}},
		{"filename-q-none", postgres.Filter{Sort: postgres.ByFilename, Query: "nothing like it"}},
		{"filename-status-rare", postgres.Filter{Sort: postgres.ByFilename, Statuses: inProgress}},
		{"filename-topic-half", postgres.Filter{Sort: postgres.ByFilename, Topic: half}},
		{"filename-topic-rare", postgres.Filter{Sort: postgres.ByFilename, Topic: rare}},
		{"size", postgres.Filter{Sort: postgres.BySize}},
		{"size-topic-none", postgres.Filter{Sort: postgres.BySize, NoTopic: true}},
	} {
		for _, o := range owners {
			db := b.api.ForUser(o.id)
			bench.Run(c.name+"/"+o.name, func(bench *testing.B) {
				for bench.Loop() {
					if _, _, err := db.Documents(bench.Context(), c.filter); err != nil {
						bench.Fatal(err)
					}
				}
			})
		}
	}
}

var counted = []schema.Status{
	schema.StatusUploaded, schema.StatusClassified, schema.StatusFailed,
}

// BenchmarkDocumentCounts measures the counts of a user with 1,000,000 documents, who first has two
// topics, one of which half of the documents have, and then a thousand, which a thousand documents
// have each.
func BenchmarkDocumentCounts(bench *testing.B) {
	b := setup(bench)
	fill(bench, b, b.alice, 1_000_000)
	count := func(bench *testing.B) {
		for bench.Loop() {
			if _, err := b.api.ForUser(b.alice).DocumentCounts(bench.Context()); err != nil {
				bench.Fatal(err)
			}
		}
	}
	for _, topics := range []int{2, 1000} {
		b.raw.MustExec(`
			DELETE FROM topics;
			ALTER TABLE topics DISABLE TRIGGER topics_limit;
			INSERT INTO topics (id, user_id, name)
				SELECT gen_random_uuid(), NULL, 'Topic ' || i FROM generate_series(1, ` +
			fmt.Sprint(topics) + `) AS i;
			WITH t AS (SELECT array_agg(id) AS ids FROM topics),
				d AS (SELECT id, user_id, row_number() OVER (ORDER BY id) AS i FROM documents)
			INSERT INTO document_topics (document_id, user_id, topic_id, confidence)
				SELECT id, user_id, ids[1 + i % ` + fmt.Sprint(topics) + `], 90 FROM t, d`)
		b.raw.MustExec(`VACUUM ANALYZE documents, document_topics`)
		bench.Run(fmt.Sprintf("topics=%d", topics), count)
	}
}

// fill stores n documents of the user. Of each 100,000, ten are pending and ten have a filename
// that begins with rare.
func fill(bench *testing.B, b *bundle, user uuid.UUID, n int) {
	bench.Helper()
	const batch = 5000
	now := time.Now()
	for from := 0; from < n; from += batch {
		docs := make([]schema.Document, batch)
		for i := range docs {
			name := fmt.Sprintf("Invoice %d.pdf", from+i)
			d := schema.NewDocument(newID(bench), user, name, "application/pdf", 0, now)
			d.Status = schema.StatusClassified
			switch (from + i) % 10_000 {
			case 1:
				d.Status = schema.StatusPending
			case 3:
				d.Filename = fmt.Sprintf("rare %d.txt", from+i)
			}
			docs[i] = d
		}
		if err := postgrestest.AddDocuments(bench.Context(), b.raw, docs); err != nil {
			bench.Fatal(err)
		}
	}
}
