package postgres_test

import (
	"testing"

	"github.com/google/uuid"

	"intray/schema"
)

func TestTransitionConfirmsAndCharges(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.alice, "a.txt", 100)
	got := b.transition(t, d.ID, confirm)
	if got.Status != schema.StatusUploaded || got.ChargedBytes != 100 || got.Version != 2 || got.UnannouncedAt == nil {
		t.Fatalf("after confirm: %+v", got)
	}
	view, err := b.api.ForUser(b.alice).Document(t.Context(), d.ID)
	must(t, err)
	if view.Status != schema.StatusUploaded || !view.UploadedAt.Equal(*got.UploadedAt) {
		t.Fatalf("read back: %+v", view)
	}
	b.checkQuotas(t)
	docs, err := b.api.ForUser(b.alice).Transition(t.Context(), []uuid.UUID{d.ID, d.ID}, remove)
	must(t, err)
	if len(docs) != 1 || docs[0].Status != schema.StatusDeleting {
		t.Fatalf("deleted: %+v", docs)
	}
}
