package classify_test

import (
	"testing"

	"intray/consumers/runner"
	"intray/infra/postgres/postgrestest"
)

// An answer that cannot be stored would be paid for and lost.
func TestNoAICallWhileDatabaseRefusesWrites(t *testing.T) {
	b := setup(t)
	d := b.Uploaded(b.Alice, "Dear Sir or Madam")
	if err := postgrestest.SetReadOnly(t.Context(), b.OwnerURL, true); err != nil {
		t.Fatal(err)
	}
	writable := b.DB
	b.DB = b.Open(b.DatabaseURL)
	b.build(t)
	for range 3 {
		if err := b.classify(t, d, 0); !runner.Outage(err) {
			t.Errorf("got error %v, want an outage", err)
		}
	}
	if n := len(b.ai.requests); n != 0 {
		t.Errorf("got %d AI calls, want none", n)
	}
	b.DB = writable
	b.build(t)
	if err := b.classify(t, d, 0); err != nil {
		t.Errorf("got error %v, want none once the database accepts writes", err)
	}
	b.Expect(d.ID, "classified")
}
