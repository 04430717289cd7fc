package main_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"intray/cmd/internal/stacktest"
	"intray/schema"
)

// eventStack is a stack with the events of some documents.
type eventStack struct {
	*stack
	js         jetstream.JetStream
	alice, bob *stacktest.Client
	aliceDocs  []string // documents of alice, classified
	aliceEmpty string   // document of alice, failed, because it has no text
	bobDocs    []string // documents of bob, classified
	bobDeleted string   // document of bob, deleted
}

func newEventStack(t *testing.T) *eventStack {
	s := &eventStack{stack: up(t)}
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
		s.aliceDocs = append(s.aliceDocs, s.alice.Upload("invoice.txt", "text/plain", []byte(invoice)))
	}
	s.aliceEmpty = s.alice.Upload("empty.txt", "text/plain", nil)
	for range 4 {
		s.bobDocs = append(s.bobDocs, s.bob.Upload("note.txt", "application/pdf", []byte(invoice)))
	}
	s.bobDeleted = s.bob.Upload("gone.txt", "text/plain", []byte(invoice))
	for _, id := range s.aliceDocs {
		s.alice.Becomes(id, time.Minute, "classified")
	}
	s.alice.Becomes(s.aliceEmpty, time.Minute, "failed")
	for _, id := range append(s.bobDocs, s.bobDeleted) {
		s.bob.Becomes(id, time.Minute, "classified")
	}
	s.bob.Must("DELETE", "/api/documents/"+s.bobDeleted, nil, nil, http.StatusAccepted)
	s.awaitIdle(t)
	return s
}

// awaitIdle waits until all events are published and handled, including both events of each upload,
// and the deleted document is gone.
func (s *eventStack) awaitIdle(t *testing.T) {
	t.Helper()
	db := s.database(t)
	stacktest.Await(t, time.Minute, "every event to be published and handled", func() error {
		var n int
		err := db.Get(&n, `SELECT
			(SELECT count(*) FROM documents WHERE unpublished_at IS NOT NULL OR gone_at IS NOT NULL)
			+ (SELECT count(*) FROM object_deletions WHERE deleted_at IS NULL)`)
		if err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("got %d unpublished documents and pending deletions, want 0", n)
		}
		want := uint64(2 * (len(s.aliceDocs) + len(s.bobDocs) + 2)) // each upload has two events
		if n := s.stored(t, schema.SubjectsBucketCreated); n < want {
			return fmt.Errorf("got %d events of created objects, want %d", n, want)
		}
		if s.stored(t, schema.SubjectsBucketRemoved) == 0 {
			return errors.New("got no event of the removed object")
		}
		for _, c := range [][2]string{
			{schema.StreamBucket, "confirm"}, {schema.StreamBucket, "remove"},
			{schema.StreamDocuments, "classify"},
		} {
			consumer, err := s.js.Consumer(t.Context(), c[0], c[1])
			if err != nil {
				return err
			}
			info := consumer.CachedInfo()
			if n := info.NumPending + uint64(info.NumAckPending); n > 0 {
				return fmt.Errorf("%s has %d messages left", c[1], n)
			}
		}
		return nil
	})
}

// stored returns the number of messages of the stream BUCKET on a subject.
func (s *eventStack) stored(t *testing.T, subject string) (n uint64) {
	t.Helper()
	stream, err := s.js.Stream(t.Context(), schema.StreamBucket)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(subject))
	if err != nil {
		t.Fatal(err)
	}
	for _, count := range info.State.Subjects {
		n += count
	}
	return n
}

// dump returns everything that a replay could change, as text.
func (s *eventStack) dump(t *testing.T) string {
	t.Helper()
	db := s.database(t)
	var all []string
	for _, table := range []string{
		"documents", "quotas", "topics", "document_topics", "object_deletions", "dead_letters",
	} {
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
		last := stream.CachedInfo().State.LastSeq
		all = append(all, fmt.Sprintf("%s: last sequence %d", name, last))
	}
	return strings.Join(all, "\n")
}

// delivered returns the number of messages that were ever delivered to a consumer.
func (s *eventStack) delivered(t *testing.T, stream, consumer string) uint64 {
	t.Helper()
	c, err := s.js.Consumer(t.Context(), stream, consumer)
	if err != nil {
		t.Fatal(err)
	}
	return c.CachedInfo().Delivered.Consumer
}

func TestEvents(t *testing.T) {
	s := newEventStack(t)
	t.Run("wrong usage", func(t *testing.T) { testEventsUsage(t, s) })
	t.Run("list", func(t *testing.T) { testEventsList(t, s) })
	t.Run("follow", func(t *testing.T) { testEventsFollow(t, s) })
	t.Run("show", func(t *testing.T) { testEventsShow(t, s) })
	t.Run("replay: plan", func(t *testing.T) { testReplayPlan(t, s) })
	t.Run("replay: everything twice", func(t *testing.T) { testReplayOfEverything(t, s) })
	t.Run("replay: only failed", func(t *testing.T) { testReplayOnlyFailed(t, s) })
	t.Run("replay: to classify", func(t *testing.T) { testReplayToClassify(t, s) })
	t.Run("replay: pause and resume", func(t *testing.T) { testReplayPauseAndResume(t, s) })
	t.Run("replay: interrupt", func(t *testing.T) { testReplayInterrupt(t, s) })
	t.Run("replay: cancel", func(t *testing.T) { testReplayCancel(t, s) })
	t.Run("replay: killed", func(t *testing.T) { testReplayKilled(t, s) })
	t.Run("replay: frozen", func(t *testing.T) { testReplayFrozen(t, s) })
	t.Run("replay: overlap", func(t *testing.T) { testReplayOverlap(t, s) })
	t.Run("replay: from the bucket", func(t *testing.T) { testReplayFromBucket(t, s) })
	t.Run("show: failed attempts", func(t *testing.T) { testEventsShowFailedAttempts(t, s) })
	t.Run("a lost stream", func(t *testing.T) { testLostStream(t, s) })
}

func testEventsUsage(t *testing.T, s *eventStack) {
	// Wrong usage is reported even if no stack is running.
	noStack := t.TempDir()
	for _, args := range []string{
		"list --kind nonsense", "list --seq 0", "list --document x", "list --follow --until 1h",
		"list --since 1h --until 2h", "list --since soon", "list --limit -1", "show nonsense",
		"replay", "replay --to remove", "replay --to confirm --kind removed",
		"replay --to confirm --execute", "replay --to confirm --execute --reason x --name a.b",
		"replay --to confirm --seq 3-1", "replay --to classify --kind created",
		"replay --to confirm --from-bucket --kind created",
	} {
		t.Run(args, func(t *testing.T) {
			flags := append([]string{"events"}, strings.Fields(args)...)
			_, stderr, got := stacktest.Run(t, nil, "intray", append(flags, "--data", noStack)...)
			if got != 2 {
				t.Errorf("got exit status %d, want 2: %s", got, stderr)
			}
			if args == "list --since soon" {
				expectText(t, stderr, `Try "intray events list --help"`)
			}
		})
	}
	for name, args := range map[string]string{
		"unknown user":     "list --user nobody@intray.local",
		"unknown document": "show 0190b5a0-0000-7000-8000-000000000000",
		"unknown replay":   "replay status nobody",
	} {
		t.Run(name, func(t *testing.T) {
			s.operator(t, 1, append([]string{"events"}, strings.Fields(args)...)...)
		})
	}
}
