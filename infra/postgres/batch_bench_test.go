package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"intray/schema"
)

// BenchmarkBatch measures the calls that consumers make for a batch of 1,000 documents, in tables
// of several sizes, with current statistics and with none.
func BenchmarkBatch(bench *testing.B) {
	for _, rows := range []int{2_000, 20_000, 200_000} {
		for _, analyzed := range []bool{true, false} {
			b := setup(bench)
			b.raw.MustExec(`ALTER TABLE documents SET (autovacuum_enabled = false)`)
			ids, keys := fillDocuments(bench, b.raw, b.alice, rows)
			if analyzed {
				b.raw.MustExec(`VACUUM ANALYZE documents`)
			}
			first := (len(ids) - 1000) / 2
			ids, keys = ids[first:first+1000], keys[first:first+1000]
			name := fmt.Sprintf("rows=%d/analyzed=%v/", rows, analyzed)
			bench.Run(name+"DocumentsByKey", func(bench *testing.B) {
				for bench.Loop() {
					docs, err := b.worker.DocumentsByKey(bench.Context(), keys)
					if err != nil || len(docs) != len(keys) {
						bench.Fatalf("got %d documents and error %v, want %d documents", len(docs), err, len(keys))
					}
				}
			})
			bench.Run(name+"Transition", func(bench *testing.B) {
				for bench.Loop() {
					touch := func(d *schema.Document, _ *schema.Quota, _ time.Time) schema.Decision {
						d.Version++
						return schema.Decision{Changed: true}
					}
					docs, err := b.worker.Transition(bench.Context(), ids, touch)
					if err != nil || len(docs) != len(ids) {
						bench.Fatalf("got %d documents and error %v, want %d documents", len(docs), err, len(ids))
					}
				}
			})
			bench.Run(name+"MarkPublished", func(bench *testing.B) {
				for bench.Loop() {
					bench.StopTimer()
					docs, err := b.worker.MarkUnpublished(bench.Context(), ids)
					if err != nil || len(docs) != len(ids) {
						bench.Fatalf("got %d documents and error %v, want %d documents", len(docs), err, len(ids))
					}
					bench.StartTimer()
					if err := b.worker.MarkPublished(bench.Context(), docs); err != nil {
						bench.Fatal(err)
					}
				}
			})
		}
	}
}
