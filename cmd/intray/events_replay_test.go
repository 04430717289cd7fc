package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"intray/cmd/internal/stacktest"
	"intray/schema"
)

type replayReport struct {
	Name, Status, To, Actor, Reason     string
	HasPublisher                        bool `json:"has_publisher"`
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
	out := s.operator(t, want, append([]string{"events", "replay", "--json", "--execute", "--reason", "a test"}, args...)...)
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

func plansReplays(t *testing.T, s *eventful) {
	before := s.dump(t)
	t.Run("as text", func(t *testing.T) {
		expectText(t, s.operator(t, 0, "events", "replay", "--to", "confirm"),
			"Would replay 26 events to confirm", "created 26", "classified 22", "failed no_text 2", "gone 2",
			"Nothing was changed")
	})
	t.Run("as JSON", func(t *testing.T) {
		var got struct {
			Matched  int64
			Statuses map[string]int64
		}
		out := s.operator(t, 0, "events", "replay", "--json", "--to", "classify", "--user", "alice@intray.local")
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatal(err)
		}
		if got.Matched != 8 || got.Statuses["classified"] != 7 {
			t.Errorf("got plan %+v, want 8 events, 7 of them classified", got)
		}
	})
	s.unchanged(t, before)
	expectText(t, s.operator(t, 0, "events", "replay", "list"), "No replays")
}

// unchanged compares everything that a replay might change with what it was before.
func (s *eventful) unchanged(t *testing.T, before string) {
	t.Helper()
	if after := s.dump(t); after != before {
		t.Errorf("got\n%s\nwant what was before:\n%s", after, before)
	}
}

func replaysEverythingTwice(t *testing.T, s *eventful) {
	before := s.dump(t)
	classified := s.delivered(t, schema.StreamDocuments, "classify")
	for range 2 {
		s.replay(t, 0, "--to", "confirm").expect(t, "done", 26, 0, 26, 0)
	}
	if got := s.delivered(t, schema.StreamReplay, "classify"); got != 0 {
		t.Errorf("classify was given %d events of confirm's replays, want 0", got)
	}
	live := s.delivered(t, schema.StreamBucket, "confirm")
	for range 2 {
		s.replay(t, 0, "--to", "classify").expect(t, "done", 13, 0, 13, 0)
	}
	for _, c := range []struct {
		stream, consumer string
		want             uint64
	}{
		{schema.StreamReplay, "confirm", 52}, {schema.StreamReplay, "classify", 26},
		// Live consumers are given no replayed events.
		{schema.StreamBucket, "confirm", live}, {schema.StreamDocuments, "classify", classified},
	} {
		if got := s.delivered(t, c.stream, c.consumer); got != c.want {
			t.Errorf("%s was given %d events of %s, want %d", c.consumer, got, c.stream, c.want)
		}
	}
	s.unchanged(t, before)
	s.expectNoObject(t, objectKey(s.deleted))
	stream, err := s.js.Stream(t.Context(), schema.StreamReplay)
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().State.Msgs; got != 0 {
		t.Errorf("replays that are done left %d messages, want 0", got)
	}
	story := s.operator(t, 0, "events", "show", s.letters[0])
	expectText(t, story, ": a test")
	confirms, classifies := strings.Count(story, "replay to confirm: unchanged"), strings.Count(story, "replay to classify: ")
	if confirms < 2 || classifies != 2 {
		t.Errorf("got %d and %d replays in the story, want 2 or more to confirm and 2 to classify:\n%s",
			confirms, classifies, story)
	}
	out := s.operator(t, 0, "events", "replay", "list")
	if lines, reasons := strings.Count(out, "\n"), strings.Count(out, "a test"); lines != 5 || reasons != 4 {
		t.Errorf("got %d lines with %d reasons, want 5 with 4:\n%s", lines, reasons, out)
	}
}

// pend makes a document pending, as if its events had got lost.
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
	s.replay(t, 0, "--to", "confirm", "--only-failed", "--user", "alice@intray.local").expect(t, "done", 2, 1, 1, 0) // its two events
	s.alice.Becomes(s.letters[1], time.Minute, "classified")
	if now := s.alice.Used(); now != used {
		t.Errorf("got %d bytes used, want %d", now, used)
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
	d := s.alice.Becomes(failed, time.Second, "classified")
	if got := topics(failed); got != right || d.Reason != "" {
		t.Errorf("the failed one: got topics %q and reason %q, want %q and none", got, d.Reason, right)
	}
	if got := topics(wrong); got == right || right == "" {
		t.Errorf("before it is classified again: got topics %q, want others than %q", got, right)
	}
	last := s.delivered(t, schema.StreamDocuments, "classify")
	if r := s.replay(t, 0, "--to", "classify", "--user", "alice@intray.local"); r.Applied != 1 || r.Failed != 0 {
		t.Errorf("got %+v, want 1 applied and none failed", r)
	}
	if got := topics(wrong); got != right {
		t.Errorf("classified again: got topics %q, want %q", got, right)
	}
	if got := topics(byHand); !strings.EqualFold(got, "contracts") {
		t.Errorf("set by hand: got topics %q, want contracts", got)
	}
	s.quiet(t)
	if n := s.delivered(t, schema.StreamDocuments, "classify"); n != last {
		t.Errorf("classify was given %d live events, want none", n-last)
	}
}

// slowly starts a replay that takes some seconds and waits until some of it is done.
func (s *eventful) slowly(t *testing.T, name string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	c, out := s.begin(t, append([]string{"events", "replay", "--to", "confirm", "--rate", "5", "--execute", "--reason", "a test", "--name", name}, args...)...)
	stacktest.Await(t, time.Minute, "some events to be replayed", func() error {
		stdout, stderr, status := stacktest.Run(t, nil, "intray", "events", "replay", "status", "--json", name, "--data", s.Dir)
		var r replayReport
		if status != 0 || json.Unmarshal([]byte(stdout), &r) != nil || r.Unchanged < 5 {
			return fmt.Errorf("%d: %s%s", status, stdout, stderr)
		}
		if !r.HasPublisher {
			t.Errorf("got %+v, want it attended", r)
		}
		return nil
	})
	return c, out
}

func pausesAndResumes(t *testing.T, s *eventful) {
	before := s.dump(t)
	c, out := s.slowly(t, "slow")
	s.operator(t, 1, "events", "replay", "resume", "slow") // it is running
	s.operator(t, 0, "events", "replay", "pause", "slow")
	ended(t, c, out, 1)
	expectText(t, out.String(), "resume slow")
	r := s.status(t, "slow")
	if r.Status != "paused" || r.Unchanged >= r.Matched || r.HasPublisher {
		t.Errorf("got %+v, want it paused with some events left, attended by nobody", r)
	}
	expectText(t, s.operator(t, 0, "events", "replay", "resume", "slow"), "done")
	n := s.status(t, "slow").Matched
	s.status(t, "slow").expect(t, "done", n, 0, n, 0)
	s.operator(t, 1, "events", "replay", "pause", "slow")
	_, stderr, status := stacktest.Run(t, nil, "intray", "events", "replay", "resume", "slow", "--data", s.Dir)
	if status != 1 || !strings.Contains(stderr, "slow is done") || strings.Contains(stderr, "to continue") {
		t.Errorf("resumed when it was done: got status %d, %q, want 1 and that it is done", status, stderr)
	}
	s.unchanged(t, before)
}

func isInterrupted(t *testing.T, s *eventful) {
	before := s.dump(t)
	c, out := s.slowly(t, "interrupted")
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	ended(t, c, out, 1)
	expectText(t, out.String(), `replay resume interrupted"`)
	s.operator(t, 0, "events", "replay", "cancel", "interrupted")
	s.unchanged(t, before)
}

func cancelsReplays(t *testing.T, s *eventful) {
	before := s.dump(t)
	c, out := s.slowly(t, "unwanted")
	expectText(t, s.operator(t, 0, "events", "replay", "cancel", "unwanted"), "not replayed")
	ended(t, c, out, 1)
	r := s.status(t, "unwanted")
	if r.Status != "canceled" || r.Unchanged == 0 || r.Unchanged >= r.Matched || r.EndedAt == nil {
		t.Errorf("got %+v, want it canceled with some events replayed and some not", r)
	}
	s.operator(t, 1, "events", "replay", "resume", "unwanted")
	s.operator(t, 1, "events", "replay", "cancel", "unwanted")
	s.unchanged(t, before)
}

func survivesItsDeath(t *testing.T, s *eventful) {
	s.pend(t, s.letters[5]) // its events are the last but a few
	given := s.delivered(t, schema.StreamReplay, "confirm")
	c, out := s.slowly(t, "killed")
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ended(t, c, out, -1)
	expectText(t, s.operator(t, 0, "events", "replay", "status", "killed"), "running, interrupted")
	found, _, _ := stacktest.Run(t, nil, "intray", "status", "--data", s.Dir)
	expectText(t, found, "running, interrupted", `replay resume killed"`)
	// One that died blocks others of the same events until it is resumed or canceled.
	s.operator(t, 1, "events", "replay", "--to", "confirm", "--execute", "--reason", "again")
	s.operator(t, 0, "events", "replay", "resume", "killed")
	r := s.status(t, "killed")
	r.expect(t, "done", r.Matched, 1, r.Matched-1, 0)
	if again := s.delivered(t, schema.StreamReplay, "confirm") - given - uint64(r.Matched); again > 0 {
		t.Errorf("%d events were replayed twice, want none", again)
	}
	s.alice.Becomes(s.letters[5], time.Minute, "classified")
	s.quiet(t)
}

func refusesTheSameEvents(t *testing.T, s *eventful) {
	c, out := s.slowly(t, "first", "--user", "alice@intray.local")
	_, stderr, status := stacktest.Run(t, nil, "intray", "events", "replay", "--to", "confirm", "--execute",
		"--reason", "x", "--document", s.letters[0], "--name", "second", "--data", s.Dir)
	if status != 1 || !strings.Contains(stderr, `"first"`) {
		t.Errorf("the second: got status %d, %q, want 1 and the name of the first", status, stderr)
	}
	// Other events, and another consumer, are no overlap.
	s.replay(t, 0, "--to", "confirm", "--user", "bob@intray.local").expect(t, "done", 10, 0, 10, 0)
	s.replay(t, 0, "--to", "classify", "--document", s.letters[0])
	s.operator(t, 0, "events", "replay", "cancel", "first")
	ended(t, c, out, 1)
	s.replay(t, 0, "--to", "confirm", "--document", s.letters[0], "--name", "second").expect(t, "done", 2, 0, 2, 0)
	s.operator(t, 1, "events", "replay", "--to", "confirm", "--execute", "--reason", "x", "--name", "second")
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
		t.Errorf("got status %d, %q, want 0 and a hint at --from-bucket", status, stderr)
	}
	expectText(t, s.operator(t, 0, "events", "replay", "--to", "confirm", "--from-bucket"),
		"Would replay 12 events", "pending 1")
	s.replay(t, 0, "--to", "confirm", "--from-bucket", "--user", "bob@intray.local").expect(t, "done", 4, 1, 3, 0)
	s.bob.Becomes(s.notes[0], time.Minute, "classified")
	s.replay(t, 0, "--to", "classify", "--from-bucket").expect(t, "done", 12, 0, 12, 0)
	expectText(t, s.operator(t, 0, "reconcile"), "No differences")
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
		if status != 3 || !strings.Contains(stdout+stderr, `"intray provision"`) {
			t.Errorf("%v without a stream: got status %d, %s%s, want 3 and what makes it", args, status, stdout, stderr)
		}
	}
	if _, err := s.js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	created := time.Now()
	for since, warned := range map[string]bool{"2h": true, created.Add(time.Second).Format(time.RFC3339): false} {
		_, stderr, status := stacktest.Run(t, nil, "intray", "events", "replay", "--to", "confirm", "--since", since, "--data", s.Dir)
		if status != 0 || strings.Contains(stderr, "--from-bucket") != warned {
			t.Errorf("since %s, of a new stream: got status %d, %q, want 0 and a warning: %v", since, status, stderr, warned)
		}
	}
}
