package replay_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/ops/replay"
)

func TestSelectionStringReturnsFlags(t *testing.T) {
	id := uuid.MustParse("0193a5b0-7d21-7c4e-8f0a-1c2d3e4f5a6b")
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for want, s := range map[string]replay.Selection{
		"all stored events": {},
		"--since 2026-01-02T03:04:05Z --until 2026-01-02T04:04:05Z --user a@example.org": {
			From: at, To: at.Add(time.Hour), Email: "a@example.org", User: id,
		},
		"--seq 7": {FirstSequence: 7, LastSequence: 7},
		"--seq 7-9 --kind classified,failed --only-failed": {
			FirstSequence: 7, LastSequence: 9, Kinds: []string{"classified", "failed"}, OnlyFailed: true,
		},
		"--seq 7- --document 0193a5b0-7d21-7c4e-8f0a-1c2d3e4f5a6b --prefix documents/0193a": {
			FirstSequence: 7, Document: id, KeyPrefix: "documents/0193a",
		},
		"--from-bucket": {FromBucket: true},
	} {
		if got := s.String(); got != want {
			t.Errorf("%+v: got %q, want %q", s, got, want)
		}
	}
}
