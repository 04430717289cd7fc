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
		{"status-common", postgres.Filter{Status: schema.StatusClassified}},
		{"status-rare", postgres.Filter{Status: schema.StatusPending}},
		{"status-none", postgres.Filter{Status: schema.StatusExpired}},
		{"topic-half", postgres.Filter{Topic: half}},
		{"topic-rare", postgres.Filter{Topic: rare}},
		{"topic-half-status-rare", postgres.Filter{Topic: half, Status: schema.StatusPending}},
		{"q-common", postgres.Filter{Query: "INVOICE"}},
		{"q-none", postgres.Filter{Query: "nothing like it"}},
		{"q-none-status", postgres.Filter{Query: "nothing like it", Status: schema.StatusClassified}},
		{"q-none-topic", postgres.Filter{Query: "nothing like it", Topic: half}},
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
