package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
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
	Published                           int64
	EndedAt                             *time.Time `json:"ended_at"`
}

// counts holds the number of events that a replay matched, and how many had each outcome.
type counts struct{ matched, applied, unchanged, failed int64 }

func (r replayReport) expectDone(t *testing.T, want counts) {
	t.Helper()
	got := counts{r.Matched, r.Applied, r.Unchanged, r.Failed}
	if r.Status != "done" || got != want {
		t.Errorf("replay %s: got status %s, events %+v, want done, %+v", r.Name, r.Status, got, want)
	}
}

// replay runs a replay until it ends and returns its report.
func (s *eventStack) replay(t *testing.T, exit int, args ...string) (r replayReport) {
	t.Helper()
	command := []string{"events", "replay", "--json", "--execute", "--reason", "a test"}
	out := s.operator(t, exit, append(command, args...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return r
}

func (s *eventStack) replayStatus(t *testing.T, name string) (r replayReport) {
	t.Helper()
	out := s.operator(t, 0, "events", "replay", "status", "--json", name)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return r
}

// run runs a command on the stack.
func (s *eventStack) run(t *testing.T, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	return stacktest.Run(t, nil, "intray", append(args, "--data", s.Dir)...)
}

// start starts a command in the background. The buffer receives its output.
func (s *eventStack) start(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
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

// expectExit waits for a command that was started in the background and checks its exit status.
func expectExit(t *testing.T, c *exec.Cmd, out *bytes.Buffer, want int) {
	t.Helper()
	_ = c.Wait()
	if got := c.ProcessState.ExitCode(); got != want {
		t.Errorf("%v: got exit status %d, want %d:\n%s", c.Args, got, want, out)
	}
}

func testReplayPlan(t *testing.T, s *eventStack) {
	before := s.dump(t)
	t.Run("as text", func(t *testing.T) {
		expectText(t, s.operator(t, 0, "events", "replay", "--to", "confirm"),
			"Would replay 26 events to confirm",
			"created 26", "classified 22", "failed no_text 2", "gone 2", "Nothing was changed")
	})
	t.Run("as JSON", func(t *testing.T) {
		var got struct {
			Matched  int64
			Statuses map[string]int64
		}
		out := s.operator(t, 0, "events", "replay", "--json",
			"--to", "classify", "--user", "alice@intray.local")
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatal(err)
		}
		if got.Matched != 8 || got.Statuses["classified"] != 7 {
			t.Errorf("got plan %+v, want 8 events, 7 of them classified", got)
		}
	})
	s.expectUnchanged(t, before)
	expectText(t, s.operator(t, 0, "events", "replay", "list"), "No replays")
}

// expectUnchanged compares everything that a replay could change with an earlier dump.
func (s *eventStack) expectUnchanged(t *testing.T, before string) {
	t.Helper()
	if after := s.dump(t); after != before {
		t.Errorf("got\n%s\nwant the state before:\n%s", after, before)
	}
}

func testReplayOfEverything(t *testing.T, s *eventStack) {
	before := s.dump(t)
	liveClassify := s.delivered(t, schema.StreamDocuments, "classify")
	for range 2 {
		s.replay(t, 0, "--to", "confirm").expectDone(t, counts{matched: 26, unchanged: 26})
	}
	if got := s.delivered(t, schema.StreamReplay, "classify"); got != 0 {
		t.Errorf("got %d events of replays to confirm delivered to classify, want 0", got)
	}
	liveConfirm := s.delivered(t, schema.StreamBucket, "confirm")
	for range 2 {
		s.replay(t, 0, "--to", "classify").expectDone(t, counts{matched: 13, unchanged: 13})
	}
	for name, c := range map[string]struct {
		stream, consumer string
		want             uint64
	}{
		"replayed events of confirm":  {schema.StreamReplay, "confirm", 52},
		"replayed events of classify": {schema.StreamReplay, "classify", 26},
		"live events of confirm":      {schema.StreamBucket, "confirm", liveConfirm},
		"live events of classify":     {schema.StreamDocuments, "classify", liveClassify},
	} {
		if got := s.delivered(t, c.stream, c.consumer); got != c.want {
			t.Errorf("%s: got %d delivered, want %d", name, got, c.want)
		}
	}
	s.expectUnchanged(t, before)
	s.expectNoObject(t, objectKey(s.bobDeleted))
	stream, err := s.js.Stream(t.Context(), schema.StreamReplay)
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().State.Msgs; got != 0 {
		t.Errorf("got %d messages in the stream after the replays, want 0", got)
	}
	t.Run("history of a document", func(t *testing.T) {
		story := s.operator(t, 0, "events", "show", s.aliceDocs[0])
		expectText(t, story, ": a test")
		confirms := strings.Count(story, "replay to confirm: unchanged")
		classifies := strings.Count(story, "replay to classify: ")
		if confirms < 2 || classifies != 2 {
			t.Errorf("got %d replays to confirm and %d to classify, want at least 2 and 2:\n%s",
				confirms, classifies, story)
		}
	})
	t.Run("list of replays", func(t *testing.T) {
		out := s.operator(t, 0, "events", "replay", "list")
		lines, reasons := strings.Count(out, "\n"), strings.Count(out, "a test")
		if lines != 5 || reasons != 4 {
			t.Errorf("got %d lines with %d reasons, want 5 with 4:\n%s", lines, reasons, out)
		}
	})
}

// makePending makes a document pending again, as if its events had been lost.
func (s *eventStack) makePending(t *testing.T, id string) {
	t.Helper()
	if _, err := s.database(t).Exec(`
		WITH d AS (UPDATE documents SET status = 'pending', charged_bytes = 0, etag = '',
				uploaded_at = NULL, classified_at = NULL, version = version + 1,
				url_issued_at = now()
			WHERE id = $1 RETURNING user_id, size)
		UPDATE quotas AS q SET used_bytes = used_bytes - d.size FROM d
		WHERE q.user_id = d.user_id`, id); err != nil {
		t.Fatal(err)
	}
}

func testReplayOnlyFailed(t *testing.T, s *eventStack) {
	used := s.alice.Used()
	s.makePending(t, s.aliceDocs[1])
	// The document has two events. The first one confirms it.
	s.replay(t, 0, "--to", "confirm", "--only-failed", "--user", "alice@intray.local").
		expectDone(t, counts{matched: 2, applied: 1, unchanged: 1})
	s.alice.Becomes(s.aliceDocs[1], time.Minute, "classified")
	if got := s.alice.Used(); got != used {
		t.Errorf("got %d used bytes, want %d", got, used)
	}
	s.awaitIdle(t)
	s.replay(t, 0, "--to", "confirm", "--only-failed").expectDone(t, counts{})
}

// topics returns the names of a document's topics.
func (s *eventStack) topics(t *testing.T, id string) (names string) {
	t.Helper()
	if err := s.database(t).Get(&names, `
		SELECT coalesce(string_agg(t.name, ',' ORDER BY t.name), '')
		FROM document_topics AS dt JOIN topics AS t ON t.id = dt.topic_id
		WHERE dt.document_id = $1`, id); err != nil {
		t.Fatal(err)
	}
	return names
}

func testReplayToClassify(t *testing.T, s *eventStack) {
	manual, wrong, failed := s.aliceDocs[2], s.aliceDocs[3], s.aliceDocs[4]
	right := s.topics(t, wrong)
	for _, statement := range []string{
		`DELETE FROM document_topics WHERE document_id IN ($1, $2, $3)`,
		`INSERT INTO document_topics (document_id, user_id, topic_id, confidence)
			SELECT d.id, d.user_id, t.id, 100 FROM documents AS d, topics AS t
			WHERE d.id IN ($1, $2) AND d.id <> $3 AND lower(t.name) = 'contracts'`,
		`UPDATE documents SET topics_locked = (id = $1), version = version + 1,
				status = CASE WHEN id = $3 THEN 'failed' ELSE status END,
				reason = CASE WHEN id = $3 THEN 'ai_unavailable' ELSE reason END
			WHERE id IN ($1, $2, $3)`,
	} {
		if _, err := s.database(t).Exec(statement, manual, wrong, failed); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("only failed", func(t *testing.T) {
		// The failed documents are the empty one and this one.
		s.replay(t, 0, "--to", "classify", "--only-failed").
			expectDone(t, counts{matched: 2, applied: 1, unchanged: 1})
		d := s.alice.For(t).Becomes(failed, time.Second, "classified")
		if got := s.topics(t, failed); got != right || d.Reason != "" {
			t.Errorf("failed document: got topics %q, reason %q, want %q and none",
				got, d.Reason, right)
		}
		if got := s.topics(t, wrong); got == right || right == "" {
			t.Errorf("classified document: got topics %q, want topics other than %q", got, right)
		}
	})
	t.Run("all documents of a user", func(t *testing.T) {
		last := s.delivered(t, schema.StreamDocuments, "classify")
		r := s.replay(t, 0, "--to", "classify", "--user", "alice@intray.local")
		if r.Applied != 1 || r.Failed != 0 {
			t.Errorf("got %+v, want 1 applied and 0 failed", r)
		}
		if got := s.topics(t, wrong); got != right {
			t.Errorf("document with wrong topics: got %q, want %q", got, right)
		}
		if got := s.topics(t, manual); !strings.EqualFold(got, "contracts") {
			t.Errorf("document with manually set topics: got %q, want contracts", got)
		}
		s.awaitIdle(t)
		if got := s.delivered(t, schema.StreamDocuments, "classify"); got != last {
			t.Errorf("got %d live events delivered to classify, want 0", got-last)
		}
	})
}

const (
	// resumedRate is the rate, in events per second, of a replay that is interrupted and resumed.
	resumedRate = "5"
	// slowRate is the rate of a replay that is paused after a second process tried to run it.
	slowRate = "2"
	// endlessRate is the rate of a replay that must not end before the test interrupts it.
	endlessRate = "0.1"
)

// startSlowReplay starts a replay that takes a few seconds, and waits until some of its events have
// an outcome.
func (s *eventStack) startSlowReplay(
	t *testing.T, name, rate string, args ...string,
) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	command := []string{
		"events", "replay", "--to", "confirm", "--rate", rate, "--execute", "--reason", "a test",
		"--name", name,
	}
	c, out := s.start(t, append(command, args...)...)
	stacktest.Await(t, time.Minute, "outcomes of some events", func() error {
		stdout, stderr, exit := s.run(t, "events", "replay", "status", "--json", name)
		var r replayReport
		if exit != 0 || json.Unmarshal([]byte(stdout), &r) != nil || r.Unchanged < 1 {
			return fmt.Errorf("got exit status %d: %s%s", exit, stdout, stderr)
		}
		if !r.HasPublisher {
			t.Errorf("got %+v, want has_publisher true", r)
		}
		return nil
	})
	return c, out
}

func testReplayPauseAndResume(t *testing.T, s *eventStack) {
	before := s.dump(t)
	c, out := s.startSlowReplay(t, "slow", slowRate)
	t.Run("resume while it runs", func(t *testing.T) {
		s.operator(t, 1, "events", "replay", "resume", "slow")
	})
	t.Run("pause", func(t *testing.T) {
		s.operator(t, 0, "events", "replay", "pause", "slow")
		expectExit(t, c, out, 1)
		expectText(t, out.String(), "resume slow")
		r := s.replayStatus(t, "slow")
		if r.Status != "paused" || r.Unchanged >= r.Matched || r.HasPublisher {
			t.Errorf("got %+v, want it paused, with remaining events and no publisher", r)
		}
	})
	t.Run("resume", func(t *testing.T) {
		expectText(t, s.operator(t, 0, "events", "replay", "resume", "slow"), "done")
		r := s.replayStatus(t, "slow")
		r.expectDone(t, counts{matched: r.Matched, unchanged: r.Matched})
	})
	t.Run("pause and resume after its end", func(t *testing.T) {
		s.operator(t, 1, "events", "replay", "pause", "slow")
		_, stderr, exit := s.run(t, "events", "replay", "resume", "slow")
		if exit != 1 || strings.Contains(stderr, "to continue") {
			t.Errorf("resume: got exit status %d, %q, want 1 and no hint to continue", exit, stderr)
		}
		expectText(t, stderr, "slow is done")
	})
	s.expectUnchanged(t, before)
}

func testReplayInterrupt(t *testing.T, s *eventStack) {
	before := s.dump(t)
	c, out := s.startSlowReplay(t, "interrupted", endlessRate)
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	expectExit(t, c, out, 1)
	expectText(t, out.String(), `replay resume interrupted"`)
	s.operator(t, 0, "events", "replay", "cancel", "interrupted")
	s.expectUnchanged(t, before)
}

func testReplayCancel(t *testing.T, s *eventStack) {
	before := s.dump(t)
	c, out := s.startSlowReplay(t, "unwanted", endlessRate)
	expectText(t, s.operator(t, 0, "events", "replay", "cancel", "unwanted"), "not replayed")
	expectExit(t, c, out, 1)
	r := s.replayStatus(t, "unwanted")
	if r.Status != "canceled" || r.Unchanged == 0 || r.Unchanged >= r.Matched || r.EndedAt == nil {
		t.Errorf("got %+v, want it canceled, with some events replayed and some not", r)
	}
	s.operator(t, 1, "events", "replay", "resume", "unwanted")
	s.operator(t, 1, "events", "replay", "cancel", "unwanted")
	s.expectUnchanged(t, before)
}

func testReplayKilled(t *testing.T, s *eventStack) {
	delivered := s.delivered(t, schema.StreamReplay, "confirm")
	c, out := s.startSlowReplay(t, "killed", resumedRate)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	expectExit(t, c, out, -1)
	t.Run("is shown as interrupted", func(t *testing.T) {
		stacktest.Await(t, time.Minute, "the lease of the killed process to expire", func() error {
			shown := s.operator(t, 0, "events", "replay", "status", "killed")
			if !strings.Contains(shown, "running, interrupted") {
				return errors.New(shown)
			}
			return nil
		})
		stdout, _, _ := s.run(t, "status")
		expectText(t, stdout, "running, interrupted", `replay resume killed"`)
	})
	t.Run("blocks replays of the same events", func(t *testing.T) {
		s.operator(t, 1, "events", "replay", "--to", "confirm", "--execute", "--reason", "again")
	})
	t.Run("is resumed without delivering an event twice", func(t *testing.T) {
		s.makePending(t, s.aliceDocs[5]) // its events are among the last ones of the replay
		s.operator(t, 0, "events", "replay", "resume", "killed")
		r := s.replayStatus(t, "killed")
		r.expectDone(t, counts{matched: r.Matched, applied: 1, unchanged: r.Matched - 1})
		got := s.delivered(t, schema.StreamReplay, "confirm") - delivered
		if got != uint64(r.Matched) {
			t.Errorf("got %d events delivered, want %d", got, r.Matched)
		}
	})
	s.alice.Becomes(s.aliceDocs[5], time.Minute, "classified")
	s.awaitIdle(t)
}

// testReplayFrozen suspends the process that runs a replay and resumes the replay with another one.
func testReplayFrozen(t *testing.T, s *eventStack) {
	before := s.dump(t)
	c, out := s.startSlowReplay(t, "frozen", resumedRate)
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.operator(t, 0, "events", "replay", "resume", "frozen")
	t.Logf("resumed and done after %v", time.Since(began).Round(time.Second))
	r := s.replayStatus(t, "frozen")
	r.expectDone(t, counts{matched: r.Matched, unchanged: r.Matched})
	if err := c.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil && !strings.Contains(out.String(), "done") {
		t.Errorf("the suspended process: got %q, want that the replay is done", out.String())
	}
	if again := s.replayStatus(t, "frozen"); again.Published != r.Published {
		t.Errorf("the suspended process published %d events after another one had ended the replay",
			again.Published-r.Published)
	}
	s.expectUnchanged(t, before)
}

func testReplayOverlap(t *testing.T, s *eventStack) {
	c, out := s.startSlowReplay(t, "first", endlessRate, "--user", "alice@intray.local")
	t.Run("the same events", func(t *testing.T) {
		_, stderr, exit := s.run(t, "events", "replay", "--to", "confirm", "--execute",
			"--reason", "x", "--document", s.aliceDocs[0], "--name", "second")
		if exit != 1 {
			t.Errorf("got exit status %d, want 1", exit)
		}
		expectText(t, stderr, `"first"`)
	})
	t.Run("other events", func(t *testing.T) {
		s.replay(t, 0, "--to", "confirm", "--user", "bob@intray.local").
			expectDone(t, counts{matched: 10, unchanged: 10})
	})
	t.Run("another consumer", func(t *testing.T) {
		s.replay(t, 0, "--to", "classify", "--document", s.aliceDocs[0])
	})
	s.operator(t, 0, "events", "replay", "cancel", "first")
	expectExit(t, c, out, 1)
	t.Run("the same events after a cancel", func(t *testing.T) {
		s.replay(t, 0, "--to", "confirm", "--document", s.aliceDocs[0], "--name", "second").
			expectDone(t, counts{matched: 2, unchanged: 2})
	})
	t.Run("a name that is in use", func(t *testing.T) {
		s.operator(t, 1, "events", "replay", "--to", "confirm", "--execute",
			"--reason", "x", "--name", "second")
	})
}

func testReplayFromBucket(t *testing.T, s *eventStack) {
	s.makePending(t, s.bobDocs[0])
	stream, err := s.js.Stream(t.Context(), schema.StreamBucket)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Run("a plan without --from-bucket warns", func(t *testing.T) {
		_, stderr, exit := s.run(t, "events", "replay", "--to", "confirm", "--since", "2h")
		if exit != 0 {
			t.Errorf("got exit status %d, want 0", exit)
		}
		expectText(t, stderr, "--from-bucket")
	})
	t.Run("plan", func(t *testing.T) {
		expectText(t, s.operator(t, 0, "events", "replay", "--to", "confirm", "--from-bucket"),
			"Would replay 12 events", "pending 1")
	})
	t.Run("to confirm", func(t *testing.T) {
		s.replay(t, 0, "--to", "confirm", "--from-bucket", "--user", "bob@intray.local").
			expectDone(t, counts{matched: 4, applied: 1, unchanged: 3})
		s.bob.For(t).Becomes(s.bobDocs[0], time.Minute, "classified")
	})
	t.Run("to classify", func(t *testing.T) {
		s.replay(t, 0, "--to", "classify", "--from-bucket").
			expectDone(t, counts{matched: 12, unchanged: 12})
	})
	expectText(t, s.operator(t, 0, "reconcile"), "No differences")
}

// testLostStream deletes the stream BUCKET and creates it again. It must be the last test, because
// the consumers of the stream are deleted with it.
func testLostStream(t *testing.T, s *eventStack) {
	stream, err := s.js.Stream(t.Context(), schema.StreamBucket)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	if err := s.js.DeleteStream(t.Context(), schema.StreamBucket); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"status", "events replay --to confirm"} {
		t.Run(command+" without the stream", func(t *testing.T) {
			stdout, stderr, exit := s.run(t, strings.Fields(command)...)
			if exit != 3 {
				t.Errorf("got exit status %d, want 3", exit)
			}
			expectText(t, stdout+stderr, `"intray provision"`)
		})
	}
	if _, err := s.js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	created := time.Now()
	for name, c := range map[string]struct {
		since string
		warns bool
	}{
		"events from before the new stream": {"2h", true},
		"events of the new stream":          {created.Add(time.Second).Format(time.RFC3339), false},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, exit := s.run(t, "events", "replay", "--to", "confirm", "--since", c.since)
			if got := strings.Contains(stderr, "--from-bucket"); exit != 0 || got != c.warns {
				t.Errorf("got exit status %d, %q, want 0 and a warning: %v", exit, stderr, c.warns)
			}
		})
	}
}
