package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
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

// quiet waits until all is told, twice where it is told twice, and heard, and the
// deleted document is gone.
func (s *eventful) quiet(t *testing.T) {
	t.Helper()
	db := s.database(t)
	stacktest.Await(t, time.Minute, "everything to be told and heard", func() error {
		var n int
		if err := db.Get(&n, `SELECT (SELECT count(*) FROM documents WHERE unannounced_at IS NOT NULL OR gone_at IS NOT NULL)
			+ (SELECT count(*) FROM object_deletions WHERE deleted_at IS NULL)`); err != nil || n > 0 {
			return fmt.Errorf("%d documents are not told: %w", n, err)
		}
		// Every upload is told twice.
		if n := s.stored(t, schema.SubjectsBucketCreated); n < uint64(2*(len(s.letters)+len(s.notes)+2)) {
			return fmt.Errorf("%d creations are told", n)
		}
		if s.stored(t, schema.SubjectsBucketRemoved) == 0 {
			return errors.New("the removal is not told")
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

type replayReport struct {
	Name, Status, To, Who, Why          string
	Attended                            bool
	Matched, Applied, Unchanged, Failed int64
	EndedAt                             *time.Time `json:"ended_at"`
}

func (r replayReport) expect(t *testing.T, status string, matched, applied, unchanged, failed int64) {
	t.Helper()
	if r.Status != status || r.Matched != matched || r.Applied != applied || r.Unchanged != unchanged || r.Failed != failed {
		t.Errorf("replay %+v, want %s with %d = %d + %d + %d", r, status, matched, applied, unchanged, failed)
	}
}

// replay runs a replay to its end and returns its report.
func (s *eventful) replay(t *testing.T, want int, args ...string) (r replayReport) {
	t.Helper()
	out := s.operator(t, want, append([]string{"events", "replay", "--json", "--execute", "--why", "a test"}, args...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return r
}

func (s *eventful) status(t *testing.T, name string) (r replayReport) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.operator(t, 0, "events", "replay", "status", "--json", name)), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// start starts a command in the background and returns it with what it writes.
func (s *eventful) begin(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	path := stacktest.Program(t, "intray")
	out := new(bytes.Buffer)
	c := exec.CommandContext(t.Context(), path, append(args, "--data", s.Dir)...)
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c, out
}

func ended(t *testing.T, c *exec.Cmd, out *bytes.Buffer, want int) {
	t.Helper()
	_ = c.Wait()
	if got := c.ProcessState.ExitCode(); got != want {
		t.Errorf("%v ended with %d, want %d:\n%s", c.Args, got, want, out)
	}
}

type eventLine struct {
	Stream, Kind string
	Sequence     uint64
	Document     string `json:"document_id"`
	Email        string
	User         string `json:"user_id"`
	Status       string `json:"status_now"`
	Time         time.Time
}

func (s *eventful) list(t *testing.T, args ...string) (events []eventLine) {
	t.Helper()
	for line := range strings.Lines(s.operator(t, 0, append([]string{"events", "list", "--json"}, args...)...)) {
		var e eventLine
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		events = append(events, e)
	}
	return events
}

func TestEvents(t *testing.T) {
	s := happened(t)
	t.Run("list", func(t *testing.T) { listsEvents(t, s) })
	t.Run("follow", func(t *testing.T) { followsEvents(t, s) })
	t.Run("show", func(t *testing.T) { showsDocuments(t, s) })
	t.Run("dry run", func(t *testing.T) { saysFirst(t, s) })
	t.Run("everything twice", func(t *testing.T) { replaysEverythingTwice(t, s) })
	t.Run("only failed", func(t *testing.T) { replaysWhatFailed(t, s) })
	t.Run("classify again", func(t *testing.T) { classifiesAgain(t, s) })
	t.Run("pause and resume", func(t *testing.T) { pausesAndResumes(t, s) })
	t.Run("killed", func(t *testing.T) { survivesItsDeath(t, s) })
	t.Run("overlap", func(t *testing.T) { refusesTheSameEvents(t, s) })
	t.Run("from the bucket", func(t *testing.T) { makesEvents(t, s) })
	t.Run("failed tries", func(t *testing.T) { showsFailedTries(t, s) })
	t.Run("a stream made anew", func(t *testing.T) { warnsOfALostStream(t, s) })
}

func listsEvents(t *testing.T, s *eventful) {
	all := s.list(t)
	if !slices.IsSortedFunc(all, func(a, b eventLine) int { return a.Time.Compare(b.Time) }) || len(all) < 24+24+2 {
		t.Errorf("%d events, or not by time", len(all))
	}
	kinds := map[string]int{}
	for _, e := range s.list(t, "--document", s.letters[0]) {
		kinds[e.Kind]++
		if e.Document != s.letters[0] || e.Email != "alice@intray.local" || e.Status != "classified" {
			t.Errorf("event %+v", e)
		}
	}
	if len(kinds) != 3 || kinds["created"] != 2 || kinds["uploaded"] != 1 || kinds["classified"] != 1 {
		t.Errorf("kinds %v", kinds)
	}
	if gone := s.list(t, "--document", s.deleted, "--stream", "bucket", "--kind", "removed"); len(gone) == 0 || gone[0].Status != "gone" {
		t.Errorf("removals %+v", gone)
	}
	for _, e := range s.list(t, "--user", "BOB@intray.local") {
		if e.Document == s.empty || slices.Contains(s.letters, e.Document) {
			t.Errorf("bob's: %+v", e)
		}
	}
	if n := len(s.list(t, "--seq", "2-4", "--stream", "bucket")); n != 3 {
		t.Errorf("%d events of sequences 2 to 4", n)
	}
	if n := len(s.list(t, "--since", "2999-01-01")) + len(s.list(t, "--to", "2001-01-01", "--from", "2000-01-01")); n != 0 {
		t.Errorf("%d events outside of time", n)
	}
	if n := len(s.list(t, "--prefix", schema.ObjectPrefix+strings.ReplaceAll(s.empty, "-", "")[:10]+"/"+s.empty)); n != 4 {
		t.Errorf("%d events of a key", n)
	}
	out := s.operator(t, 0, "events", "list", "--kind", "failed")
	if strings.Count(out, "\n") != 2 || !strings.Contains(out, s.empty) || !strings.Contains(out, "failed no_text") {
		t.Errorf("it lists\n%s", out)
	}
	s.operator(t, 2, "events", "list", "--kind", "nonsense")
	s.operator(t, 2, "events", "list", "--seq", "0")
	s.operator(t, 2, "events", "list", "--document", "x")
	s.operator(t, 1, "events", "list", "--user", "nobody@intray.local")
	owner := s.list(t, "--document", s.empty)[0].User
	if n := len(s.list(t, "--user", owner)); n == 0 || n != len(s.list(t, "--user", "alice@intray.local")) {
		t.Errorf("%d events of the user %s", n, owner)
	}
	// What is wrong in itself needs no system to be refused.
	nowhere := t.TempDir()
	for _, args := range [][]string{
		{"list", "--kind", "nonsense"}, {"list", "--follow", "--until", "1h"}, {"list", "--since", "1h", "--until", "2h"},
		{"replay", "--to", "confirm", "--seq", "3-1"}, {"replay", "--to", "classify", "--kind", "created"}, {"list", "--since", "soon"},
	} {
		_, stderr, status := stacktest.Run(t, nil, "intray", append(append([]string{"events"}, args...), "--data", nowhere)...)
		if status != 2 {
			t.Errorf("%v: status %d, %s", args, status, stderr)
		}
		if args[len(args)-1] == "soon" && !strings.Contains(stderr, `Try "intray events list --help"`) {
			t.Errorf("%v: it says\n%s", args, stderr)
		}
	}
}

// showsFailedTries sends a document to an AI that is not there.
func showsFailedTries(t *testing.T, s *eventful) {
	s.operator(t, 0, "users", "set", "bob@intray.local", "--ai-provider", "ollama")
	id := s.bob.Upload("waits.txt", "text/plain", []byte(invoice))
	stacktest.Await(t, time.Minute, "the story to tell the failed try", func() error {
		story := s.operator(t, 0, "events", "show", id)
		if _, after, ok := strings.Cut(story, "classify failed, try 1"); !ok || !strings.Contains(after, " ask provider ollama") || strings.Contains(after, "document "+id) || !strings.Contains(after, "; again at ") {
			return fmt.Errorf("it says\n%s", story)
		}
		return nil
	})
}

func followsEvents(t *testing.T, s *eventful) {
	path := stacktest.Program(t, "intray")
	c := exec.CommandContext(t.Context(), path, "events", "list", "--follow", "--json", "--since", "1s", "--data", s.Dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	id := s.alice.Upload("late.txt", "text/plain", []byte(invoice))
	s.letters = append(s.letters, id)
	told := map[string]int{}
	lines := bufio.NewScanner(out)
	for told["created"] < 2 || told["classified"] < 1 {
		if !lines.Scan() {
			t.Fatalf("it ended after %v: %v", told, lines.Err())
		}
		var e eventLine
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if e.Document == id {
			told[e.Kind]++
		}
	}
	_ = c.Process.Signal(syscall.SIGINT)
	if err := c.Wait(); err != nil { // that is how it ends
		t.Errorf("interrupted, it ended with %v", err)
	}
	s.alice.Becomes(id, time.Minute, "classified")
	s.quiet(t)
}

func showsDocuments(t *testing.T, s *eventful) {
	inOrder := func(out string, words ...string) {
		t.Helper()
		rest := out
		for _, w := range words {
			_, after, found := strings.Cut(rest, w)
			if !found {
				t.Errorf("%q is not there, or not in its place:\n%s", w, out)
				return
			}
			rest = after
		}
	}
	inOrder(s.operator(t, 0, "events", "show", s.letters[0]), "alice@intray.local", "asked for", "the bucket tells: created", "became uploaded", "became classified")
	inOrder(s.operator(t, 0, "events", "show", s.empty), "failed no_text", "became uploaded", "became failed (no_text)")
	inOrder(s.operator(t, 0, "events", "show", s.notes[0]), "note.txt", "is text/plain, which is not what was declared", "application/pdf")
	inOrder(s.operator(t, 0, "events", "show", s.deleted), "gone", "became classified", "object given up", "object deleted")
	var told struct {
		Status string
		Story  []struct{ What string }
	}
	if err := json.Unmarshal([]byte(s.operator(t, 0, "events", "show", "--json", s.deleted)), &told); err != nil || told.Status != "gone" || len(told.Story) < 6 {
		t.Errorf("story %+v, %v", told, err)
	}
	s.operator(t, 1, "events", "show", "0190b5a0-0000-7000-8000-000000000000")
	s.operator(t, 2, "events", "show", "nonsense")
}

func saysFirst(t *testing.T, s *eventful) {
	before := s.dump(t)
	out := s.operator(t, 0, "events", "replay", "--to", "confirm")
	for _, want := range []string{"Would replay 26 events to confirm", "created 26", "classified 22", "failed no_text 2", "gone 2", "Nothing was changed"} {
		if !strings.Contains(out, want) {
			t.Errorf("it says\n%s\nwithout %q", out, want)
		}
	}
	var plan struct {
		Matched  int64
		Statuses map[string]int64
	}
	if err := json.Unmarshal([]byte(s.operator(t, 0, "events", "replay", "--json", "--to", "classify", "--user", "alice@intray.local")), &plan); err != nil ||
		plan.Matched != 8 || plan.Statuses["classified"] != 7 {
		t.Errorf("plan %+v, %v", plan, err)
	}
	if after := s.dump(t); after != before {
		t.Errorf("a dry run changed\n%s\nto\n%s", before, after)
	}
	if out := s.operator(t, 0, "events", "replay", "list"); !strings.Contains(out, "No replays") {
		t.Errorf("it lists\n%s", out)
	}
	s.operator(t, 2, "events", "replay")
	s.operator(t, 2, "events", "replay", "--to", "remove")
	s.operator(t, 2, "events", "replay", "--to", "confirm", "--kind", "removed")
	s.operator(t, 2, "events", "replay", "--to", "confirm", "--execute")
	s.operator(t, 2, "events", "replay", "--to", "confirm", "--execute", "--why", "x", "--name", "a.b")
	s.operator(t, 1, "events", "replay", "status", "nobody")
}

func replaysEverythingTwice(t *testing.T, s *eventful) {
	before := s.dump(t)
	classified := s.delivered(t, schema.StreamDocuments, "classify")
	for range 2 {
		s.replay(t, 0, "--to", "confirm").expect(t, "done", 26, 0, 26, 0)
	}
	if n := s.delivered(t, schema.StreamReplay, "classify"); n != 0 {
		t.Errorf("classify was given %d events of confirm's replay", n)
	}
	confirmed := s.delivered(t, schema.StreamReplay, "confirm")
	live := s.delivered(t, schema.StreamBucket, "confirm")
	for range 2 {
		s.replay(t, 0, "--to", "classify").expect(t, "done", 13, 0, 13, 0)
	}
	if confirmed != 52 || s.delivered(t, schema.StreamReplay, "confirm") != confirmed || s.delivered(t, schema.StreamReplay, "classify") != 26 {
		t.Errorf("confirm was given %d events, %d later, classify %d", confirmed, s.delivered(t, schema.StreamReplay, "confirm"), s.delivered(t, schema.StreamReplay, "classify"))
	}
	if s.delivered(t, schema.StreamBucket, "confirm") != live || s.delivered(t, schema.StreamDocuments, "classify") != classified {
		t.Error("the consumers of what just happens were given replayed events")
	}
	if after := s.dump(t); after != before {
		t.Errorf("replaying everything changed\n%s\nto\n%s", before, after)
	}
	root, err := miniogo.New(s.MinIO.Endpoint, &miniogo.Options{Creds: credentials.NewStaticV4(s.MinIO.RootUser, s.MinIO.RootPassword, "")})
	if err != nil {
		t.Fatal(err)
	}
	key := schema.ObjectPrefix + strings.ReplaceAll(s.deleted, "-", "")[:10] + "/" + s.deleted
	if _, err := root.StatObject(t.Context(), s.MinIO.Bucket, key, miniogo.StatObjectOptions{}); miniogo.ToErrorResponse(err).Code != miniogo.NoSuchKey {
		t.Errorf("the deleted object: %v", err)
	}
	stream, err := s.js.Stream(t.Context(), schema.StreamReplay)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 0 {
		t.Errorf("replays that are done left %d messages", n)
	}
	if story := s.operator(t, 0, "events", "show", s.letters[0]); strings.Count(story, "replay to confirm: unchanged") < 2 ||
		strings.Count(story, "replay to classify: ") != 2 || !strings.Contains(story, ": a test") {
		t.Errorf("the story of a document that was replayed twice:\n%s", story)
	}
	out := s.operator(t, 0, "events", "replay", "list")
	if strings.Count(out, "\n") != 5 || strings.Count(out, "a test") != 4 {
		t.Errorf("it lists\n%s", out)
	}
}

// pend makes a document as if its events had never been heard.
func (s *eventful) pend(t *testing.T, id string) {
	t.Helper()
	if _, err := s.database(t).Exec(`
		WITH d AS (UPDATE documents SET status = 'pending', charged_bytes = 0, etag = '', uploaded_at = NULL, classified_at = NULL,
				version = version + 1, url_issued_at = now() WHERE id = $1 RETURNING user_id, size)
		UPDATE quotas AS q SET used_bytes = used_bytes - d.size FROM d WHERE q.user_id = d.user_id`, id); err != nil {
		t.Fatal(err)
	}
}

func replaysWhatFailed(t *testing.T, s *eventful) {
	used := s.alice.Used()
	s.pend(t, s.letters[1])
	s.replay(t, 0, "--to", "confirm", "--only-failed", "--user", "alice@intray.local").expect(t, "done", 2, 1, 1, 0) // it was told twice
	s.alice.Becomes(s.letters[1], time.Minute, "classified")
	if now := s.alice.Used(); now != used {
		t.Errorf("%d bytes are used, want %d", now, used)
	}
	s.quiet(t)
	s.replay(t, 0, "--to", "confirm", "--only-failed").expect(t, "done", 0, 0, 0, 0)
}

func classifiesAgain(t *testing.T, s *eventful) {
	db := s.database(t)
	topics := func(id string) (names string) {
		t.Helper()
		if err := db.Get(&names, `SELECT coalesce(string_agg(t.name, ',' ORDER BY t.name), '') FROM document_topics AS dt
			JOIN topics AS t ON t.id = dt.topic_id WHERE dt.document_id = $1`, id); err != nil {
			t.Fatal(err)
		}
		return names
	}
	byHand, wrong, failed := s.letters[2], s.letters[3], s.letters[4]
	right := topics(wrong)
	for _, statement := range []string{
		`DELETE FROM document_topics WHERE document_id IN ($1, $2, $3)`,
		`INSERT INTO document_topics (document_id, user_id, topic_id, confidence) SELECT d.id, d.user_id, t.id, 100
			FROM documents AS d, topics AS t WHERE d.id IN ($1, $2) AND d.id <> $3 AND lower(t.name) = 'contracts'`,
		`UPDATE documents SET topics_locked = (id = $1), status = CASE WHEN id = $3 THEN 'failed' ELSE status END,
			reason = CASE WHEN id = $3 THEN 'ai_unavailable' ELSE reason END, version = version + 1 WHERE id IN ($1, $2, $3)`,
	} {
		if _, err := db.Exec(statement, byHand, wrong, failed); err != nil {
			t.Fatal(err)
		}
	}
	// The failed ones are the empty file and this one.
	s.replay(t, 0, "--to", "classify", "--only-failed").expect(t, "done", 2, 1, 1, 0)
	if d := s.alice.Becomes(failed, time.Second, "classified"); topics(failed) != right || d.Reason != "" {
		t.Errorf("the failed one is %+v", d)
	}
	if topics(wrong) == right || right == "" {
		t.Errorf("the wrong topics are %q, the right ones %q", topics(wrong), right)
	}
	last := s.delivered(t, schema.StreamDocuments, "classify")
	if r := s.replay(t, 0, "--to", "classify", "--user", "alice@intray.local"); r.Applied != 1 || r.Failed != 0 {
		t.Errorf("replay %+v", r)
	}
	if topics(wrong) != right || !strings.EqualFold(topics(byHand), "contracts") {
		t.Errorf("topics %q, want %q; set by hand %q", topics(wrong), right, topics(byHand))
	}
	s.quiet(t)
	if n := s.delivered(t, schema.StreamDocuments, "classify"); n != last {
		t.Errorf("classify was told %d times as if it had just happened", n-last)
	}
}

// slowly starts a replay that takes some seconds and waits until some of it is done.
func (s *eventful) slowly(t *testing.T, name string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	c, out := s.begin(t, append([]string{"events", "replay", "--to", "confirm", "--rate", "5", "--execute", "--why", "a test", "--name", name}, args...)...)
	stacktest.Await(t, time.Minute, "some events to be replayed", func() error {
		stdout, stderr, status := stacktest.Run(t, nil, "intray", "events", "replay", "status", "--json", name, "--data", s.Dir)
		var r replayReport
		if status != 0 || json.Unmarshal([]byte(stdout), &r) != nil || r.Unchanged < 5 {
			return fmt.Errorf("%d: %s%s", status, stdout, stderr)
		}
		if !r.Attended {
			t.Errorf("nobody is at it: %+v", r)
		}
		return nil
	})
	return c, out
}

func pausesAndResumes(t *testing.T, s *eventful) {
	before := s.dump(t)
	c, out := s.slowly(t, "slow")
	s.operator(t, 1, "events", "replay", "resume", "slow") // it is under way
	s.operator(t, 0, "events", "replay", "pause", "slow")
	ended(t, c, out, 1)
	r := s.status(t, "slow")
	if r.Status != "paused" || r.Unchanged >= r.Matched || r.Attended || !strings.Contains(out.String(), "resume slow") {
		t.Errorf("paused %+v:\n%s", r, out)
	}
	if out := s.operator(t, 0, "events", "replay", "resume", "slow"); !strings.Contains(out, "done") {
		t.Errorf("it says\n%s", out)
	}
	n := s.status(t, "slow").Matched
	s.status(t, "slow").expect(t, "done", n, 0, n, 0)
	s.operator(t, 1, "events", "replay", "pause", "slow")
	if _, stderr, status := stacktest.Run(t, nil, "intray", "events", "replay", "resume", "slow", "--data", s.Dir); status != 1 || !strings.Contains(stderr, "slow is done") || strings.Contains(stderr, "goes on with it") {
		t.Errorf("resumed when it was done, it ended with %d: %s", status, stderr)
	}

	c, out = s.slowly(t, "interrupted")
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	ended(t, c, out, 1)
	if !strings.Contains(out.String(), `replay resume interrupted" goes on with it`) {
		t.Errorf("interrupted, it says\n%s", out)
	}
	s.operator(t, 0, "events", "replay", "cancel", "interrupted")

	c, out = s.slowly(t, "unwanted")
	if out := s.operator(t, 0, "events", "replay", "cancel", "unwanted"); !strings.Contains(out, "not replayed") {
		t.Errorf("it says\n%s", out)
	}
	ended(t, c, out, 1)
	if r := s.status(t, "unwanted"); r.Status != "canceled" || r.Unchanged == 0 || r.Unchanged >= r.Matched || r.EndedAt == nil {
		t.Errorf("canceled %+v", r)
	}
	s.operator(t, 1, "events", "replay", "resume", "unwanted")
	s.operator(t, 1, "events", "replay", "cancel", "unwanted")
	if after := s.dump(t); after != before {
		t.Errorf("it changed\n%s\nto\n%s", before, after)
	}
}

func survivesItsDeath(t *testing.T, s *eventful) {
	s.pend(t, s.letters[5]) // its events are the last but a few
	given := s.delivered(t, schema.StreamReplay, "confirm")
	c, out := s.slowly(t, "killed")
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ended(t, c, out, -1)
	if out := s.operator(t, 0, "events", "replay", "status", "killed"); !strings.Contains(out, "running, interrupted") {
		t.Errorf("it says\n%s", out)
	}
	if out, _, _ := stacktest.Run(t, nil, "intray", "status", "--data", s.Dir); !strings.Contains(out, "running, interrupted") || !strings.Contains(out, `replay resume killed"`) {
		t.Errorf("it says\n%s", out)
	}
	// One that died is in the way of others until it is resumed or canceled.
	s.operator(t, 1, "events", "replay", "--to", "confirm", "--execute", "--why", "again")
	s.operator(t, 0, "events", "replay", "resume", "killed")
	r := s.status(t, "killed")
	r.expect(t, "done", r.Matched, 1, r.Matched-1, 0)
	if again := s.delivered(t, schema.StreamReplay, "confirm") - given - uint64(r.Matched); again > 0 {
		t.Errorf("%d events were replayed twice", again)
	}
	s.alice.Becomes(s.letters[5], time.Minute, "classified")
	s.quiet(t)
}

func refusesTheSameEvents(t *testing.T, s *eventful) {
	c, out := s.slowly(t, "first", "--user", "alice@intray.local")
	_, stderr, status := stacktest.Run(t, nil, "intray", "events", "replay", "--to", "confirm", "--execute", "--why", "x", "--document", s.letters[0], "--name", "second", "--data", s.Dir)
	if status != 1 || !strings.Contains(stderr, `"first"`) {
		t.Errorf("the second ended with %d: %s", status, stderr)
	}
	s.replay(t, 0, "--to", "confirm", "--user", "bob@intray.local").expect(t, "done", 10, 0, 10, 0) // other events
	s.replay(t, 0, "--to", "classify", "--document", s.letters[0])                                  // another consumer
	s.operator(t, 0, "events", "replay", "cancel", "first")
	ended(t, c, out, 1)
	s.replay(t, 0, "--to", "confirm", "--document", s.letters[0], "--name", "second").expect(t, "done", 2, 0, 2, 0)
	s.operator(t, 1, "events", "replay", "--to", "confirm", "--execute", "--why", "x", "--name", "second")
}

func makesEvents(t *testing.T, s *eventful) {
	s.pend(t, s.notes[0])
	stream, err := s.js.Stream(t.Context(), schema.StreamBucket)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, stderr, status := stacktest.Run(t, nil, "intray", "events", "replay", "--to", "confirm", "--since", "2h", "--data", s.Dir)
	if status != 0 || !strings.Contains(stderr, "--from-bucket") {
		t.Errorf("it ended with %d: %s", status, stderr)
	}
	s.operator(t, 2, "events", "replay", "--to", "confirm", "--from-bucket", "--kind", "created")
	if out := s.operator(t, 0, "events", "replay", "--to", "confirm", "--from-bucket"); !strings.Contains(out, "Would replay 12 events") || !strings.Contains(out, "pending 1") {
		t.Errorf("it says\n%s", out)
	}
	s.replay(t, 0, "--to", "confirm", "--from-bucket", "--user", "bob@intray.local").expect(t, "done", 4, 1, 3, 0)
	s.bob.Becomes(s.notes[0], time.Minute, "classified")
	s.replay(t, 0, "--to", "classify", "--from-bucket").expect(t, "done", 12, 0, 12, 0)
	if out := s.operator(t, 0, "reconcile"); !strings.Contains(out, "Everything is in order") {
		t.Errorf("it says\n%s", out)
	}
}

// warnsOfALostStream also says what to do where it is not made anew yet. It is the
// last test: the stream's consumers are lost with it.
func warnsOfALostStream(t *testing.T, s *eventful) {
	stream, err := s.js.Stream(t.Context(), schema.StreamBucket)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	if err := s.js.DeleteStream(t.Context(), schema.StreamBucket); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"events", "replay", "--to", "confirm"}} {
		stdout, stderr, status := stacktest.Run(t, nil, "intray", append(args, "--data", s.Dir)...)
		if status != 3 || !strings.Contains(stdout+stderr, `"intray provision" makes it`) {
			t.Errorf("%v without a stream ended with %d: %s%s", args, status, stdout, stderr)
		}
	}
	if _, err := s.js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	created := time.Now()
	for since, warned := range map[string]bool{"2h": true, created.Add(time.Second).Format(time.RFC3339): false} {
		_, stderr, status := stacktest.Run(t, nil, "intray", "events", "replay", "--to", "confirm", "--since", since, "--data", s.Dir)
		if status != 0 || strings.Contains(stderr, "--from-bucket") != warned {
			t.Errorf("of a new stream since %s, it ended with %d: %s", since, status, stderr)
		}
	}
}
