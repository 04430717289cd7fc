package main_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"intray/cmd/internal/stacktest"
	"intray/schema"
)

// eventful is a stack on which something has happened.
type eventful struct {
	*stack
	js         jetstream.JetStream
	alice, bob *stacktest.Client
	letters    []string // alice's, classified
	empty      string   // alice's, failed: it holds no text
	notes      []string // bob's
	deleted    string   // bob's, gone
}

func happened(t *testing.T) *eventful {
	s := &eventful{stack: up(t)}
	conn, err := natsgo.Connect(s.NATS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if s.js, err = jetstream.New(conn); err != nil {
		t.Fatal(err)
	}
	s.alice, s.bob = s.Login(t, "alice"), s.Login(t, "bob")
	for range 6 {
		s.letters = append(s.letters, s.alice.Upload("invoice.txt", "text/plain", []byte(invoice)))
	}
	s.empty = s.alice.Upload("empty.txt", "text/plain", nil)
	for range 4 {
		s.notes = append(s.notes, s.bob.Upload("note.txt", "application/pdf", []byte(invoice)))
	}
	s.deleted = s.bob.Upload("gone.txt", "text/plain", []byte(invoice))
	for _, id := range s.letters {
		s.alice.Becomes(id, time.Minute, "classified")
	}
	s.alice.Becomes(s.empty, time.Minute, "failed")
	for _, id := range append(s.notes, s.deleted) {
		s.bob.Becomes(id, time.Minute, "classified")
	}
	s.bob.Must("DELETE", "/api/documents/"+s.deleted, nil, nil, 202)
	s.quiet(t)
	return s
}

// quiet waits until every event is published, twice where MinIO publishes it twice, and
// handled, and the deleted document is gone.
func (s *eventful) quiet(t *testing.T) {
	t.Helper()
	db := s.database(t)
	stacktest.Await(t, time.Minute, "every event to be published and handled", func() error {
		var n int
		if err := db.Get(&n, `SELECT (SELECT count(*) FROM documents WHERE unpublished_at IS NOT NULL OR gone_at IS NOT NULL)
			+ (SELECT count(*) FROM object_deletions WHERE deleted_at IS NULL)`); err != nil || n > 0 {
			return fmt.Errorf("%d documents are not published or not gone: %w", n, err)
		}
		// Every upload has two events.
		want := uint64(2 * (len(s.letters) + len(s.notes) + 2))
		if n := s.stored(t, schema.SubjectsBucketCreated); n < want {
			return fmt.Errorf("got %d events of creations, want %d", n, want)
		}
		if s.stored(t, schema.SubjectsBucketRemoved) == 0 {
			return errors.New("the removal is not published")
		}
		for _, c := range [][2]string{{"BUCKET", "confirm"}, {"BUCKET", "remove"}, {"DOCUMENTS", "classify"}} {
			consumer, err := s.js.Consumer(t.Context(), c[0], c[1])
			if err != nil {
				return err
			}
			if info := consumer.CachedInfo(); info.NumPending+uint64(info.NumAckPending) > 0 {
				return fmt.Errorf("%s has some left", c[1])
			}
		}
		return nil
	})
}

// stored is how many of BUCKET's messages are on a subject.
func (s *eventful) stored(t *testing.T, subject string) (n uint64) {
	t.Helper()
	stream, err := s.js.Stream(t.Context(), schema.StreamBucket)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(subject))
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range info.State.Subjects {
		n += of
	}
	return n
}

// dump is everything that a replay might change.
func (s *eventful) dump(t *testing.T) string {
	t.Helper()
	db := s.database(t)
	var all []string
	for _, table := range []string{"documents", "quotas", "topics", "document_topics", "object_deletions", "dead_letters"} {
		var rows []string
		if err := db.Select(&rows, `SELECT x::text FROM `+table+` AS x ORDER BY 1`); err != nil {
			t.Fatal(err)
		}
		all = append(all, table+":\n"+strings.Join(rows, "\n"))
	}
	for _, name := range []string{schema.StreamBucket, schema.StreamDocuments} {
		stream, err := s.js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s ends with %d", name, stream.CachedInfo().State.LastSeq))
	}
	return strings.Join(all, "\n")
}

// delivered is how many messages a consumer was ever given.
func (s *eventful) delivered(t *testing.T, stream, consumer string) uint64 {
	t.Helper()
	c, err := s.js.Consumer(t.Context(), stream, consumer)
	if err != nil {
		t.Fatal(err)
	}
	return c.CachedInfo().Delivered.Consumer
}

func TestEvents(t *testing.T) {
	s := happened(t)
	t.Run("wrong flags", func(t *testing.T) { refusesWrongFlags(t, s) })
	t.Run("list", func(t *testing.T) { listsEvents(t, s) })
	t.Run("follow", func(t *testing.T) { followsEvents(t, s) })
	t.Run("show", func(t *testing.T) { showsDocuments(t, s) })
	t.Run("plan", func(t *testing.T) { plansReplays(t, s) })
	t.Run("everything twice", func(t *testing.T) { replaysEverythingTwice(t, s) })
	t.Run("only failed", func(t *testing.T) { replaysWhatFailed(t, s) })
	t.Run("classify again", func(t *testing.T) { classifiesAgain(t, s) })
	t.Run("pause", func(t *testing.T) { pausesAndResumes(t, s) })
	t.Run("interrupt", func(t *testing.T) { isInterrupted(t, s) })
	t.Run("cancel", func(t *testing.T) { cancelsReplays(t, s) })
	t.Run("killed", func(t *testing.T) { survivesItsDeath(t, s) })
	t.Run("overlap", func(t *testing.T) { refusesTheSameEvents(t, s) })
	t.Run("from the bucket", func(t *testing.T) { makesEvents(t, s) })
	t.Run("failed attempts", func(t *testing.T) { showsFailedAttempts(t, s) })
	t.Run("a stream made anew", func(t *testing.T) { warnsOfALostStream(t, s) })
}

// refusesWrongFlags also where no system runs: it is not needed to refuse them.
func refusesWrongFlags(t *testing.T, s *eventful) {
	nowhere := t.TempDir()
	for _, args := range []string{
		"list --kind nonsense", "list --seq 0", "list --document x", "list --follow --until 1h",
		"list --since 1h --until 2h", "list --since soon", "list --limit -1", "show nonsense",
		"replay", "replay --to remove", "replay --to confirm --kind removed", "replay --to confirm --execute",
		"replay --to confirm --execute --reason x --name a.b", "replay --to confirm --seq 3-1",
		"replay --to classify --kind created", "replay --to confirm --from-bucket --kind created",
	} {
		t.Run(args, func(t *testing.T) {
			flags := append([]string{"events"}, strings.Fields(args)...)
			_, stderr, got := stacktest.Run(t, nil, "intray", append(flags, "--data", nowhere)...)
			if got != 2 {
				t.Errorf("got status %d, want 2: %s", got, stderr)
			}
			if args == "list --since soon" {
				expectText(t, stderr, `Try "intray events list --help"`)
			}
		})
	}
	for _, args := range []string{
		"list --user nobody@intray.local", "show 0190b5a0-0000-7000-8000-000000000000", "replay status nobody",
	} {
		t.Run(args, func(t *testing.T) { s.operator(t, 1, append([]string{"events"}, strings.Fields(args)...)...) })
	}
}
