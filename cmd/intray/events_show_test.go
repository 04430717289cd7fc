package main

import (
	"io"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/ops/story"
)

func TestStoryGolden(t *testing.T) {
	id := uuid.MustParse("0193a5b0-7d21-7c4e-8f0a-1c2d3e4f5a6b")
	const key = "documents/0193a5b07d/0193a5b0-7d21-7c4e-8f0a-1c2d3e4f5a6b"
	entry := func(at time.Duration, what, detail string) story.Entry {
		return story.Entry{At: noon.Add(at), What: what, Detail: detail}
	}
	of := func(stream string, sequence uint64, e story.Entry) story.Entry {
		e.Stream, e.Sequence = stream, sequence
		return e
	}
	for name, s := range map[string]story.Story{
		"story_troubled": {
			ID: id, Status: "failed", Reason: "ai_unavailable", Email: "alice@example.org",
			Filename: "letter\x1b[31m.txt", DetectedType: "application/pdf", Size: 1234, ObjectKey: key,
			Version: 3, Unpublished: ago(3 * time.Second),
			Entries: []story.Entry{
				entry(0, "upload URL issued", `"letter.txt", 1234 bytes, text/plain`),
				of("BUCKET", 17, entry(time.Second, "bucket event: created", "bucket.created.direct")),
				of("DOCUMENTS", 5, entry(2*time.Second, "became uploaded",
					"version 2, published after 12ms")),
				entry(2*time.Second, "classify: attempt 1 failed",
					"ask provider ollama: no answer; next attempt at 12:00:12Z"),
				entry(12*time.Second, "classify: postponed", "not this user's turn (replay)"),
				of("DOCUMENTS", 5, entry(13*time.Second, "classify: dead-lettered",
					"dead letter 4 after 8 attempts: ask provider ollama: no answer")),
				of("DOCUMENTS", 9, entry(14*time.Second, "became failed (ai_unavailable)",
					"version 3, retry of DOCUMENTS:5")),
				of("DOCUMENTS", 5, entry(time.Hour, "replay to classify: failed",
					"replay again by ops@host: AI was down")),
				of("REPLAY", 1, entry(time.Hour, "replay published", "replay.classify.again")),
			},
		},
		"story_gone": {
			ID: id, Status: "gone", ObjectKey: key,
			Entries: []story.Entry{
				entry(0, "object marked for deletion", key),
				entry(123456*time.Microsecond, "object deleted",
					"if it is uploaded again, it is deleted again"),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, name, func(w io.Writer) error { return printStory(w, s) }, s)
		})
	}
}
