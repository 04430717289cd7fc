package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/api"
	"intray/infra/nats"
	"intray/schema"
)

// event is one server-sent event.
type event struct{ id, kind, data string }

// nextEvent returns the next event that is not a hint. At the end of the stream it returns the zero
// event.
func nextEvent(t testing.TB, r *bufio.Reader) event {
	t.Helper()
	for {
		switch e := nextEventOrHint(t, r); e.kind {
		case "pending", "quota", "topics":
		default:
			return e
		}
	}
}

// nextEventOrHint returns the next event that has data. At the end of the stream it returns the
// zero event.
func nextEventOrHint(t testing.TB, r *bufio.Reader) (e event) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) {
				t.Errorf("got error %v at the end of the stream, want it ended cleanly", err)
			}
			return event{}
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			e.data = value
		case "":
			if e.data != "" {
				return e
			}
			e = event{} // an id without an event
		}
	}
}

// stream opens an event stream with the Last-Event-ID after, or without one if after is empty. The
// stream is closed when the test ends.
func (c *client) stream(ctx context.Context, after string) *bufio.Reader {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // if it is exceeded, the test fails
	c.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/api/documents/events", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	if after != "" {
		r.Header.Set("Last-Event-ID", after)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK ||
		resp.Header.Get("Content-Type") != "text/event-stream" ||
		resp.Header.Get("Cache-Control") != "no-store" {
		c.t.Fatalf("got status %d and headers %v, want 200 with an event stream and no-store",
			resp.StatusCode, resp.Header)
	}
	covered.Lock()
	covered.responses["StreamDocumentEvents 200"] = true
	covered.Unlock()
	return bufio.NewReader(resp.Body)
}

// currentID returns the id with which a stream begins.
func (c *client) currentID() string {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	stream := c.stream(ctx, "")
	for {
		line, err := stream.ReadString('\n')
		if err != nil {
			c.t.Fatal(err)
		}
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			return strings.TrimSuffix(id, "\n")
		}
	}
}

// document returns the document in the event's data.
func (e event) document(t testing.TB) (d api.Document) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.data), &d); err != nil {
		t.Fatalf("%v in %+v", err, e)
	}
	return d
}

// TestEventStream follows the changes of one document. The subtests depend on each other.
func TestEventStream(t *testing.T) {
	b, operator := setupWithNATS(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	alice, bob := b.alice.stream(ctx, b.alice.currentID()), b.bob.stream(ctx, "")
	var d api.Document
	var first, second, last event

	step(t, "a confirmed upload", func(t *testing.T) {
		b := b.in(t)
		d = b.alice.confirmed("a", []byte("x"))
		first = nextEvent(t, alice)
		got := first.document(t)
		if got.ID != d.ID || got.Status != api.DocumentStatusUploaded ||
			first.kind != "document" {
			t.Fatalf("got event %+v, want document %s uploaded", first, d.ID)
		}
	})
	step(t, "the data is the document as GET returns it", func(t *testing.T) {
		b := b.in(t)
		topic := b.alice.createTopic("Mine")
		b.alice.setTopics(d, topic.ID).is(200)
		second = nextEvent(t, alice)
		want := strings.TrimSpace(string(b.alice.get(path(d)).is(200).body))
		if second.data != want {
			t.Errorf("got data\n%s\nwant\n%s", second.data, want)
		}
	})
	step(t, "a deletion", func(t *testing.T) {
		b := b.in(t)
		b.alice.delete(path(d)).is(202)
		got := nextEvent(t, alice)
		if got.document(t).Status != api.DocumentStatusDeleting {
			t.Errorf("got event %+v, want the document deleting", got)
		}
		gone := func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
			return d.MarkGone(q, now)
		}
		docs, err := b.owner.Transition(t.Context(), []uuid.UUID{d.ID}, gone)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := operator.Publish(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
		last = nextEvent(t, alice)
		want := `{"id":"` + d.ID.String() + `"}`
		if last.kind != "deleted" || last.data != want {
			t.Errorf("got event %+v, want deleted with data %s", last, want)
		}
	})
	step(t, "another user receives only their own changes", func(t *testing.T) {
		b := b.in(t)
		want := b.bob.confirmed("b", []byte("y"))
		if got := nextEvent(t, bob); got.document(t).ID != want.ID {
			t.Errorf("got event %+v, want document %s", got, want.ID)
		}
	})
	step(t, "a resumed stream combines the changes to a document", func(t *testing.T) {
		b := b.in(t)
		got := nextEvent(t, b.alice.stream(ctx, second.id))
		if got.kind != last.kind || got.data != last.data {
			t.Errorf("after %s: got event %+v, want %+v", second.id, got, last)
		}
	})
	step(t, "an id that is not one of the user's causes a resync", func(t *testing.T) {
		b := b.in(t)
		state, err := operator.State(t.Context(), schema.StreamDocuments)
		if err != nil {
			t.Fatal(err)
		}
		future := api.EncodeEventID(tokenKey, b.alice.id, state.Created, state.LastSequence+1)
		for name, after := range map[string]string{
			"old format": "1", "text": "x", "future": future, "long": strings.Repeat("A", 9000),
			"another user": b.bob.currentID(), "cut off": second.id[:len(second.id)-1],
			"one bit changed": "A" + second.id[1:],
			"another stream": api.EncodeEventID(
				tokenKey, b.alice.id, state.Created.Add(-time.Microsecond), state.LastSequence),
		} {
			stream := b.alice.stream(ctx, after)
			got := nextEvent(t, stream)
			if got.kind != "resync" || got.data != "{}" {
				t.Errorf("%s: got event %+v, want resync", name, got)
			}
			if _, sequence, ok := api.DecodeEventID(tokenKey, b.alice.id, got.id); !ok ||
				sequence != state.LastSequence {
				t.Errorf("%s: got id of position %d, want %d", name, sequence, state.LastSequence)
			}
		}
	})
	step(t, "a stream continues after a resync", func(t *testing.T) {
		b := b.in(t)
		stream := b.alice.stream(ctx, "unknown")
		if got := nextEvent(t, stream); got.kind != "resync" {
			t.Fatalf("got event %+v, want resync", got)
		}
		want := b.alice.confirmed("c", []byte("z"))
		if got := nextEvent(t, stream); got.document(t).ID != want.ID {
			t.Errorf("got event %+v, want document %s", got, want.ID)
		}
	})
}

// TestEventStreamResumesAfterRestart checks that a process that has just started reads earlier
// events from NATS, and sends a resync if NATS no longer has them.
func TestEventStreamResumesAfterRestart(t *testing.T) {
	b, operator := setupWithNATS(t)
	start := b.alice.currentID()
	d := b.alice.confirmed("a", []byte("x"))
	eventually(t, "the upload is published", func() bool { return b.unpublished() == 0 })
	b.alice.base = b.serve(b.config)
	if got := nextEvent(t, b.alice.stream(t.Context(), start)); got.document(t).ID != d.ID {
		t.Errorf("got event %+v, want document %s", got, d.ID)
	}

	b.alice.post(path(d)+"/reclassify", nil).is(202)
	eventually(t, "the change is published", func() bool { return b.unpublished() == 0 })
	stream, err := operator.JetStream().Stream(t.Context(), schema.StreamDocuments)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.alice.base = b.serve(b.config)
	alice := b.alice.stream(t.Context(), start)
	if got := nextEvent(t, alice); got.kind != "resync" {
		t.Errorf("after the events were purged: got event %+v, want resync", got)
	}
	b.alice.post(path(d)+"/reclassify", nil).is(202)
	if got := nextEvent(t, alice); got.document(t).ID != d.ID {
		t.Errorf("after the resync: got event %+v, want document %s", got, d.ID)
	}
}

// TestEventStreamOfRecreatedStream checks that an id of a stream that was deleted causes a resync,
// although the stream that replaces it has an event with the same number.
func TestEventStreamOfRecreatedStream(t *testing.T) {
	b, operator := setupWithNATS(t)
	alice := b.alice.stream(t.Context(), "")
	d := b.alice.confirmed("a", []byte("x"))
	last := nextEvent(t, alice)
	if last.document(t).ID != d.ID {
		t.Fatalf("got event %+v, want document %s", last, d.ID)
	}
	eventually(t, "the upload is published", func() bool { return b.unpublished() == 0 })

	// No process follows while the new stream reaches the number of the old one.
	err := operator.JetStream().DeleteStream(t.Context(), schema.StreamDocuments)
	if err != nil {
		t.Fatal(err)
	}
	if err := nats.Provision(t.Context(), operator, nats.StreamLimits{}); err != nil {
		t.Fatal(err)
	}
	b.alice.post(path(d)+"/reclassify", nil).is(202)
	if got := nextEvent(t, alice); got.kind != "resync" {
		t.Errorf("stream that was open: got event %+v, want resync", got)
	}
	eventually(t, "the change is published", func() bool { return b.unpublished() == 0 })
	for name, base := range map[string]string{
		"process that followed": b.alice.base, "new process": b.serve(b.config),
	} {
		b.alice.base = base
		if got := nextEvent(t, b.alice.stream(t.Context(), last.id)); got.kind != "resync" {
			t.Errorf("%s: got event %+v, want resync", name, got)
		}
	}
}

// TestEventIDsAcrossReplicas checks that an id of one process resumes the stream of another one,
// also while the token key is rotated.
func TestEventIDsAcrossReplicas(t *testing.T) {
	b, _ := setupWithNATS(t)
	rotated := b.config
	rotated.TokenKey, rotated.SecondaryTokenKey = []byte(strings.Repeat("k", 32)), tokenKey
	following := b.config
	following.SecondaryTokenKey = rotated.TokenKey
	old, other := b.serve(following), b.serve(rotated)
	for _, bases := range [][2]string{{old, other}, {other, old}} {
		b.alice.base = bases[0]
		id := b.alice.currentID()
		d := b.alice.confirmed("a", []byte("x"))
		b.alice.base = bases[1]
		if got := nextEvent(t, b.alice.stream(t.Context(), id)); got.kind != "document" ||
			got.document(t).ID != d.ID {
			t.Errorf("got event %+v, want document %s", got, d.ID)
		}
	}
}

func TestEventStreamWithoutNATSIsUnavailable(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *api.Config) {
		c.Changes = connect(t, "nats://127.0.0.1:1", "password")
		c.Timeouts.CatchUp = 50 * time.Millisecond
	})
	b.alice.get("/api/documents/events").fails(schema.CodeUnavailable)
}
