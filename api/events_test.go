package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"intray/api"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// event is one server-sent event.
type event struct{ id, kind, data string }

// nextEvent reads the next event that has data. At the end of the stream it returns the zero event.
func nextEvent(t testing.TB, r *bufio.Reader) (e event) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
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
		}
	}
}

// stream opens an event stream with the Last-Event-ID after, or without one if after is empty. The
// stream is closed when the test ends.
func (c *client) stream(ctx context.Context, after string) *bufio.Reader {
	c.t.Helper()
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

// document returns the document in the event's data.
func (e event) document(t testing.TB) (d api.Document) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.data), &d); err != nil {
		t.Fatalf("%v in %+v", err, e)
	}
	return d
}

// sequence returns the event's id as a number.
func (e event) sequence(t testing.TB) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(e.id, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestEventStream follows the changes of one document. The subtests depend on each other.
func TestEventStream(t *testing.T) {
	b, operator := setupWithNATS(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	alice, bob := b.alice.stream(ctx, "0"), b.bob.stream(ctx, "")
	var d api.Document
	var first, second, last event

	step(t, "a confirmed upload", func(t *testing.T) {
		b := b.in(t)
		d = b.alice.confirmed("a", []byte("x"))
		first = nextEvent(t, alice)
		got := first.document(t)
		if got.ID != d.ID || got.Status != api.DocumentStatusUploaded || first.kind != "" {
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
		if want := `{"id":"` + d.ID.String() + `","status":"deleted"}`; last.data != want {
			t.Errorf("got data %s, want %s", last.data, want)
		}
	})
	step(t, "ids increase", func(t *testing.T) {
		for _, pair := range [][2]event{{first, second}, {second, last}} {
			if earlier, later := pair[0], pair[1]; earlier.sequence(t) >= later.sequence(t) {
				t.Errorf("got id %s after %s, want a greater one", later.id, earlier.id)
			}
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
		if got.id != last.id || got.data != last.data {
			t.Errorf("after %s: got event %+v, want %+v", second.id, got, last)
		}
	})
	step(t, "an id that was never sent causes a resync", func(t *testing.T) {
		b := b.in(t)
		for _, after := range []string{"999999999", "18446744073709551615"} {
			if got := nextEvent(t, b.alice.stream(ctx, after)); got.kind != "resync" {
				t.Errorf("after %s: got event %+v, want resync", after, got)
			}
		}
	})
	step(t, "malformed ids are refused", func(t *testing.T) {
		b := b.in(t)
		for _, after := range []string{
			"x", "-1", "18446744073709551616", strings.Repeat("1", 21),
		} {
			b.alice.get("/api/documents/events", with{"Last-Event-ID": after}).
				fails(schema.CodeInvalid)
		}
	})
}

// TestEventStreamResumesAfterRestart checks that a process that has just started reads earlier
// events from NATS, and sends a resync if NATS no longer has them.
func TestEventStreamResumesAfterRestart(t *testing.T) {
	b, operator := setupWithNATS(t)
	d := b.alice.confirmed("a", []byte("x"))
	eventually(t, "the upload is published", func() bool { return b.unpublished() == 0 })
	b.alice.base = b.serve(b.config)
	if got := nextEvent(t, b.alice.stream(t.Context(), "0")); got.document(t).ID != d.ID {
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
	alice := b.alice.stream(t.Context(), "1")
	if got := nextEvent(t, alice); got.kind != "resync" || got.id != "2" {
		t.Errorf("after the events were purged: got event %+v, want resync with id 2", got)
	}
	b.alice.post(path(d)+"/reclassify", nil).is(202)
	if got := nextEvent(t, alice); got.document(t).ID != d.ID || got.id != "3" {
		t.Errorf("after the resync: got event %+v, want document %s with id 3", got, d.ID)
	}
}

func TestEventStreamEnds(t *testing.T) {
	t.Parallel()
	b, _ := setupWithNATS(t)
	t.Run("when the token expires", func(t *testing.T) {
		alice := b.alice.in(t)
		alice.token = tokenExpiringAt(t, alice.id, time.Now().Add(2*time.Second))
		began := time.Now()
		if got := nextEvent(t, alice.stream(t.Context(), "")); got != (event{}) {
			t.Errorf("got event %+v, want the end of the stream", got)
		}
		if took := time.Since(began); took < 500*time.Millisecond {
			t.Errorf("the stream ended after %s, want about 2 s", took)
		}
	})
	t.Run("when the server shuts down", func(t *testing.T) {
		b := b.in(t)
		server := b.listen()
		b.alice.base = server.base
		stream := b.alice.stream(t.Context(), "")
		server.shutdown()
		if got := nextEvent(t, stream); got != (event{}) {
			t.Errorf("got event %+v, want the end of the stream", got)
		}
	})
}

// tokenExpiringAt returns a valid access token of a user that belongs to no session.
func tokenExpiringAt(t testing.TB, user uuid.UUID, expiry time.Time) string {
	t.Helper()
	claims := tokenClaims(user, "user")
	claims["exp"] = expiry.Unix()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(tokenKey)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestEventStreamWithoutNATSIsUnavailable(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *api.Config) {
		c.Changes = connect(t, "nats://127.0.0.1:1", "password")
		c.Timeouts.CatchUp = 50 * time.Millisecond
	})
	b.alice.get("/api/documents/events").fails(schema.CodeUnavailable)
}

// TestEventStreamOfSlowClientEnds checks that a client that does not read is disconnected after a
// limited number of changes, and that another client of the same user receives all of them.
func TestEventStreamOfSlowClientEnds(t *testing.T) {
	t.Parallel()
	b, operator := setupWithNATS(t)
	const bufferSize = 4 << 10 // small, so that the connection blocks soon
	b.alice.base = b.serve(b.config, func(s *http.Server) {
		s.ConnState = func(conn net.Conn, state http.ConnState) {
			if state == http.StateNew {
				if err := conn.(*net.TCPConn).SetWriteBuffer(bufferSize); err != nil {
					t.Error(err)
				}
			}
		}
	})
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(bufferSize)
		}
		return conn, err
	}
	transport := &http.Transport{DialContext: dial}
	t.Cleanup(transport.CloseIdleConnections)
	slow := *b.alice
	slow.http = &http.Client{Transport: transport}
	stalled, quick := slow.stream(t.Context(), "0"), b.alice.stream(t.Context(), "0")

	// There are more documents than the changes that a stream queues. Their filenames are long, to
	// fill the buffers.
	docs := make([]schema.Document, 1500)
	longName := strings.Repeat("ä", 250)
	for i := range docs {
		id := uuid.Must(uuid.NewV7())
		docs[i] = schema.NewDocument(id, b.alice.id, longName, "text/plain", 1, time.Now())
	}
	if err := postgrestest.AddDocuments(t.Context(), b.sql, docs); err != nil {
		t.Fatal(err)
	}
	for chunk := range slices.Chunk(docs, 300) {
		if _, err := operator.Publish(t.Context(), chunk); err != nil {
			t.Fatal(err)
		}
		for _, d := range chunk {
			if got := nextEvent(t, quick); got.kind != "" || got.document(t).ID != d.ID {
				t.Fatalf("client that reads: got event %+.200v, want document %s", got, d.ID)
			}
		}
	}
	received := 0
	for {
		got := nextEvent(t, stalled)
		if got.kind == "resync" || got == (event{}) {
			t.Logf("the slow client received %d events, then %+v", received, got)
			break
		}
		received++
	}
	if received >= len(docs) {
		t.Errorf("slow client: got %d events, want fewer than %d", received, len(docs))
	}
}
