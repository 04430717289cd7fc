package story_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/consumers/consumertest"
	"intray/ops/replay"
	"intray/ops/story"
	"intray/schema"
)

func TestMain(m *testing.M) { consumertest.Main(m) }

// assemble returns the story and the What of each of its entries.
func assemble(t *testing.T, a replay.Archive, id uuid.UUID) (s story.Story, what []string) {
	t.Helper()
	s, err := story.Assemble(t.Context(), a, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range s.Entries {
		what = append(what, e.What)
	}
	return s, what
}

func TestAssemble(t *testing.T) {
	b := consumertest.New(t)
	archive := replay.Archive{
		DB: b.Open(b.OwnerURL), Conn: b.Operator, Objects: b.Objects, BucketName: b.MinIO.Bucket,
	}
	other, d := b.Uploaded(b.Bob, "abc"), b.Uploaded(b.Alice, "abc")
	for _, key := range []string{other.ObjectKey, d.ObjectKey} {
		event := consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, key)
		b.Publish(schema.SubjectCreatedDirect, event)
	}

	t.Run("events", func(t *testing.T) {
		s, got := assemble(t, archive, d.ID)
		want := []string{"upload URL issued", "bucket event: created"}
		if !slices.Equal(got, want) {
			t.Errorf("got entries %q, want %q", got, want)
		}
		wantStory := story.Story{
			ID: d.ID, Status: "uploaded", Email: "alice@example.org", Filename: "letter.txt", Size: 3,
			ObjectKey: d.ObjectKey, Version: d.Version,
		}
		s.Entries = nil
		if !reflect.DeepEqual(s, wantStory) {
			t.Errorf("got %+v, want %+v", s, wantStory)
		}
	})
	t.Run("attempts, dead letters and the deletion", func(t *testing.T) {
		later := time.Now().Add(time.Hour)
		b.Exec(`INSERT INTO document_attempts (document_id, stream, consumer, at, attempt, reason) VALUES
			($1, 'DOCUMENTS', 'classify', $2, 1, $4),
			($1, 'REPLAY', 'classify', $3, 0, 'not its turn')`,
			d.ID, later, later.Add(time.Second), "classify document "+d.ID.String()+": no answer")
		b.Exec(`INSERT INTO dead_letters
				(stream, sequence, consumer, subject, data, reason, attempts, first_at, dead_at) VALUES
			('BUCKET', 1, 'confirm', 's', '', 'other document', 1, now(), $1),
			('BUCKET', 2, 'confirm', 's', '', 'by sequence', 8, now(), $1),
			('DOCUMENTS', 99, 'classify', 's', convert_to($2, 'UTF8'), 'by data', 8, now(), $1)`,
			later.Add(2*time.Second), d.ID.String())
		b.Exec(`INSERT INTO object_deletions (object_key, requested_at) VALUES ($1, $2)`,
			d.ObjectKey, later.Add(3*time.Second))
		s, got := assemble(t, archive, d.ID)
		want := []string{
			"upload URL issued", "bucket event: created", "classify: attempt 1 failed",
			"classify: postponed", "confirm: dead-lettered", "classify: dead-lettered",
			"object marked for deletion",
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got entries %q, want %q", got, want)
		}
		for i, detail := range map[int]string{
			2: "no answer", 3: "not its turn (replay)",
			4: "dead letter 2 after 8 attempts: by sequence",
			5: "dead letter 3 after 8 attempts: by data",
		} {
			if got := s.Entries[i].Detail; got != detail {
				t.Errorf("%s: got detail %q, want %q", want[i], got, detail)
			}
		}
	})
	t.Run("an unknown document", func(t *testing.T) {
		s, got := assemble(t, archive, uuid.Must(uuid.NewV7()))
		if len(got) > 0 || s.Status != "gone" {
			t.Errorf("got status %q and entries %q, want gone and none", s.Status, got)
		}
	})
}
