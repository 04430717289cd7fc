package main_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"intray/cmd/internal/stacktest"
	"intray/schema"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// letter is a dead letter as --json prints it.
type letter struct {
	ID       int64
	Sequence int
	Consumer string
	Reason   string
	Headers  map[string][]string
	Data     json.RawMessage
	Base64   []byte `json:"data_base64"`
}

// letters waits until n dead letters match the filters, and returns them in the order of their
// messages.
func (s *stack) letters(t *testing.T, n int, filters ...string) (all []letter) {
	t.Helper()
	stacktest.Await(t, time.Minute, strconv.Itoa(n)+" dead letters", func() error {
		all = nil
		out := s.operator(t, 0, append([]string{"deadletters", "list", "--json"}, filters...)...)
		for line := range strings.Lines(out) {
			var l letter
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				return err
			}
			all = append(all, l)
		}
		if len(all) != n {
			return fmt.Errorf("got %d dead letters, want %d", len(all), n)
		}
		return nil
	})
	slices.SortFunc(all, func(a, b letter) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return all
}

func testDeadLetters(t *testing.T, s *stack) {
	expectText(t, s.operator(t, 0, "deadletters", "list"), "No dead letters")
	s.publishUndecodable(t)
	all := s.letters(t, 3)
	t.Run("wrong usage", func(t *testing.T) { testDeadLettersUsage(t, all[0].ID) })
	t.Run("list", func(t *testing.T) { testDeadLettersList(t, s) })
	t.Run("show", func(t *testing.T) { testDeadLettersShow(t, s, all) })
	t.Run("retry", func(t *testing.T) { all = testDeadLettersRetry(t, s, all) })
	t.Run("drop", func(t *testing.T) {
		s.operator(t, 2, "deadletters", "drop", "--all") // without --yes
		s.letters(t, 3)
		first := strconv.FormatInt(all[0].ID, 10)
		s.operator(t, 0, "deadletters", "drop", first)
		s.operator(t, 1, "deadletters", "drop", first)
		s.operator(t, 0, "deadletters", "drop", "--all", "--yes")
		s.letters(t, 0)
	})
}

// publishUndecodable publishes three messages that cannot be decoded.
func (s *stack) publishUndecodable(t *testing.T) {
	t.Helper()
	conn, err := natsgo.Connect(s.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{
		`{"Records": [], "Key": "x"}`, "not JSON\x1b[31m", "not JSON either",
	} {
		m := natsgo.NewMsg(schema.SubjectCreatedDirect)
		m.Data = []byte(data)
		m.Header.Set("Trace", "t1")
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

// testDeadLettersUsage uses an empty data folder, because wrong usage is reported even if no stack
// is running.
func testDeadLettersUsage(t *testing.T, id int64) {
	for args, want := range map[string]string{
		"list --since 1h --until 2h":      "--until is before --since",
		"list --since yesterday":          "neither a duration",
		"list --consumer confrim":         "choose from confirm",
		"retry --consumer confrim":        "choose from confirm",
		"drop --consumer confrim":         "choose from confirm",
		"retry":                           "select dead letters by id",
		"drop":                            "select dead letters by id",
		fmt.Sprintf("retry %d --all", id): "cannot be combined",
		"retry --all --rate -1":           "",
	} {
		t.Run(args, func(t *testing.T) {
			flags := append([]string{"deadletters"}, strings.Fields(args)...)
			_, stderr, got := stacktest.Run(t, nil, "intray", append(flags, "--data", t.TempDir())...)
			if got != 2 {
				t.Errorf("got exit status %d, want 2", got)
			}
			expectText(t, stderr, want)
		})
	}
}

func testDeadLettersList(t *testing.T, s *stack) {
	for filters, want := range map[string]int{
		"--consumer confirm --since 1h --reason UNDECODABLE": 3,
		"--consumer remove":     0,
		"--since 2999-01-01":    0,
		"--since 7d --until 0s": 3,
		"--until 1h":            0,
		"--limit 2":             2,
	} {
		t.Run(filters, func(t *testing.T) { s.letters(t, want, strings.Fields(filters)...) })
	}
	t.Run("as text", func(t *testing.T) {
		out := s.operator(t, 0, "deadletters", "list", "--limit", "2")
		if got := strings.Count(out, "bucket.created.direct"); got != 2 {
			t.Errorf("got %d rows, want 2:\n%s", got, out)
		}
		expectText(t, out, "1 more")
	})
}

func testDeadLettersShow(t *testing.T, s *stack, all []letter) {
	id := func(i int) string { return strconv.FormatInt(all[i].ID, 10) }
	t.Run("JSON data", func(t *testing.T) {
		expectText(t, s.operator(t, 0, "deadletters", "show", id(0)), "undecodable event: no records",
			"Trace: t1", "BUCKET ", "{\n  \"Records\": [],\n  \"Key\": \"x\"\n}\n")
	})
	t.Run("binary data", func(t *testing.T) {
		out := s.operator(t, 0, "deadletters", "show", id(1))
		expectText(t, out, "6e 6f 74 20 4a 53 4f 4e") // "not JSON"
		if strings.Contains(out, "\x1b") {
			t.Errorf("got %q, want no control characters", out)
		}
	})
	t.Run("as JSON", func(t *testing.T) {
		var got letter
		out := s.operator(t, 0, "deadletters", "show", "--json", id(1))
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatal(err)
		}
		const data = "not JSON\x1b[31m"
		if string(got.Base64) != data || got.Data != nil || got.Headers["Trace"][0] != "t1" {
			t.Errorf("got %+v, want %q only as Base64, and the header Trace", got, data)
		}
	})
	t.Run("unknown", func(t *testing.T) { s.operator(t, 1, "deadletters", "show", "999999") })
}

// testDeadLettersRetry returns the dead letters after the last retry.
func testDeadLettersRetry(t *testing.T, s *stack, all []letter) []letter {
	s.operator(t, 1, "deadletters", "retry", "999999")
	out := s.operator(t, 0, "deadletters", "retry", "--all", "--dry-run")
	if got := strings.Count(out, "would retry"); got != 3 {
		t.Errorf("got %d dead letters to retry, want 3:\n%s", got, out)
	}
	// The messages still cannot be decoded, so that each retry leads to new dead letters.
	byID := func(a, b letter) int { return cmp.Compare(a.ID, b.ID) }
	for range 2 {
		before := all
		out := s.operator(t, 0, "deadletters", "retry", "--all", "--rate", "1000")
		expectText(t, out, "3 dead letters retried")
		all = s.letters(t, 3)
		if slices.MinFunc(all, byID).ID <= slices.MaxFunc(before, byID).ID {
			t.Errorf("got dead letters %+v, want all ids above those of %+v", all, before)
		}
	}
	return all
}
