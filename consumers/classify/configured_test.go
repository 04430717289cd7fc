package classify_test

import (
	"context"
	"testing"
	"time"
)

func TestNoteProviders(t *testing.T) {
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { b.classifier.NoteProviders(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	for deadline := time.Now().Add(time.Minute); ; {
		got, err := b.DB.AIProviders(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 1 && got[0] == "scripted" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got the providers %v, want the one that is configured", got)
		}
	}
}
