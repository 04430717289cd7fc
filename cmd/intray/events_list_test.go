package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"intray/cmd/internal/stacktest"
	"intray/schema"
)

type eventLine struct {
	Stream, Kind string
	Sequence     uint64
	Document     string `json:"document_id"`
	Email        string
	User         string `json:"user_id"`
	Status       string `json:"status_now"`
	Time         time.Time
}

// list returns the events that "events list" prints with the flags.
func (s *eventStack) list(t *testing.T, args ...string) (events []eventLine) {
	t.Helper()
	out := s.operator(t, 0, append([]string{"events", "list", "--json"}, args...)...)
	for line := range strings.Lines(out) {
		var e eventLine
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		events = append(events, e)
	}
	return events
}

func testEventsList(t *testing.T, s *eventStack) {
	t.Run("ordered by time", func(t *testing.T) {
		all := s.list(t)
		if want := 24 + 24 + 2; len(all) < want {
			t.Errorf("got %d events, want %d or more", len(all), want)
		}
		if !slices.IsSortedFunc(all, func(a, b eventLine) int { return a.Time.Compare(b.Time) }) {
			t.Errorf("got events %+v, want them ordered by time", all)
		}
	})
	t.Run("of a document", func(t *testing.T) {
		got := map[string]int{}
		for _, e := range s.list(t, "--document", s.aliceDocs[0]) {
			got[e.Kind]++
			if e.Document != s.aliceDocs[0] || e.Email != "alice@intray.local" ||
				e.Status != "classified" {
				t.Errorf("got event %+v, want document %s of alice, classified", e, s.aliceDocs[0])
			}
		}
		want := map[string]int{"created": 2, "uploaded": 1, "classified": 1}
		if !maps.Equal(got, want) {
			t.Errorf("got events by kind %v, want %v", got, want)
		}
	})
	t.Run("of a deleted document", func(t *testing.T) {
		got := s.list(t, "--document", s.bobDeleted, "--stream", "bucket", "--kind", "removed")
		if len(got) == 0 || got[0].Status != "gone" {
			t.Errorf("got %+v, want removed events of a document that is gone", got)
		}
	})
	t.Run("of a user", func(t *testing.T) {
		for _, e := range s.list(t, "--user", "BOB@intray.local") {
			if e.Document == s.aliceEmpty || slices.Contains(s.aliceDocs, e.Document) {
				t.Errorf("got %+v, want only events of bob's documents", e)
			}
		}
		id := s.list(t, "--document", s.aliceEmpty)[0].User
		got, want := len(s.list(t, "--user", id)), len(s.list(t, "--user", "alice@intray.local"))
		if got == 0 || got != want {
			t.Errorf("got %d events by the id of a user, want %d as by the address", got, want)
		}
	})
	for name, c := range map[string]struct {
		args []string
		want int
	}{
		"of a range of sequences": {[]string{"--seq", "2-4", "--stream", "bucket"}, 3},
		"of the future":           {[]string{"--since", "2999-01-01"}, 0},
		"of the far past":         {[]string{"--from", "2000-01-01", "--to", "2001-01-01"}, 0},
		"of a key":                {[]string{"--prefix", objectKey(s.aliceEmpty)}, 4},
		"with a limit":            {[]string{"--limit", "7"}, 7},
	} {
		t.Run(name, func(t *testing.T) {
			if got := len(s.list(t, c.args...)); got != c.want {
				t.Errorf("%v: got %d events, want %d", c.args, got, c.want)
			}
		})
	}
	t.Run("as text", func(t *testing.T) {
		out := s.operator(t, 0, "events", "list", "--kind", "failed")
		if got := strings.Count(out, "\n"); got != 2 {
			t.Errorf("got %d lines, want 2:\n%s", got, out)
		}
		expectText(t, out, s.aliceEmpty, "failed no_text")
	})
}

// objectKey returns the key of a document's object.
func objectKey(id string) string {
	return schema.ObjectPrefix + strings.ReplaceAll(id, "-", "")[:10] + "/" + id
}

func testEventsFollow(t *testing.T, s *eventStack) {
	path := stacktest.Program(t, "intray")
	c := exec.CommandContext(t.Context(), path,
		"events", "list", "--follow", "--json", "--since", "1s", "--data", s.Dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	id := s.alice.Upload("late.txt", "text/plain", []byte(invoice))
	s.aliceDocs = append(s.aliceDocs, id)
	got := map[string]int{}
	lines := bufio.NewScanner(out)
	for got["created"] < 2 || got["classified"] < 1 {
		if !lines.Scan() {
			t.Fatalf("got %v before the end (error %v), want 2 created and 1 classified",
				got, lines.Err())
		}
		var e eventLine
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if e.Document == id {
			got[e.Kind]++
		}
	}
	_ = c.Process.Signal(syscall.SIGINT)
	if err := c.Wait(); err != nil {
		t.Errorf("after an interrupt: got %v, want exit status 0", err)
	}
	s.alice.Becomes(id, time.Minute, "classified")
	s.awaitIdle(t)
}

// testEventsShow checks the histories of some documents. TestStoryGolden checks their format.
func testEventsShow(t *testing.T, s *eventStack) {
	for name, c := range map[string]struct {
		id   string
		want []string // in this order
	}{
		"classified": {s.aliceDocs[0], []string{
			"alice@intray.local", "upload URL issued", "bucket event: created", "became uploaded",
			"became classified",
		}},
		"failed": {s.aliceEmpty, []string{
			"failed no_text", "became uploaded", "became failed (no_text)",
		}},
		"of another type than declared": {s.bobDocs[0], []string{
			"note.txt", "text/plain, which differs from the declared type", "application/pdf",
		}},
		"deleted": {s.bobDeleted, []string{
			"gone", "became classified", "object marked for deletion", "object deleted",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			out := s.operator(t, 0, "events", "show", c.id)
			rest := out
			for _, want := range c.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("got\n%s\nwant the texts %q in this order", out, c.want)
				}
				rest = after
			}
		})
	}
	t.Run("as JSON", func(t *testing.T) {
		var got struct {
			Status string
			Story  []struct{ What string }
		}
		out := s.operator(t, 0, "events", "show", "--json", s.bobDeleted)
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatal(err)
		}
		if got.Status != "gone" || len(got.Story) < 6 {
			t.Errorf("got %+v, want status gone and at least 6 entries", got)
		}
	})
}

// testEventsShowFailedAttempts classifies a document with an AI provider that is not running.
func testEventsShowFailedAttempts(t *testing.T, s *eventStack) {
	s.operator(t, 0, "users", "set", "bob@intray.local", "--ai-provider", "ollama")
	id := s.bob.Upload("waits.txt", "text/plain", []byte(invoice))
	stacktest.Await(t, time.Minute, "the failed attempt in the history", func() error {
		story := s.operator(t, 0, "events", "show", id)
		_, after, ok := strings.Cut(story, "classify: attempt 1 failed")
		if !ok || !strings.Contains(after, " ask provider ollama") ||
			strings.Contains(after, "document "+id) || !strings.Contains(after, "; next attempt at ") {
			return fmt.Errorf("got\n%s\nwant the failed attempt with its cause and the time of the next",
				story)
		}
		return nil
	})
}
