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

// event is one of a stream. Its data is empty where only an id came.
type event struct{ id, kind, data string }

// nextEvent reads until an event or an id comes; the zero event at the end.
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

// stream opens a stream of events, which ends with the test.
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
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		c.t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	seen.Lock()
	seen.answers["StreamDocumentEvents 200"] = true
	seen.Unlock()
	return bufio.NewReader(resp.Body)
}

func (e event) document(t testing.TB) (d api.Document) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.data), &d); err != nil {
		t.Fatalf("%v in %+v", err, e)
	}
	return d
}

func TestEvents(t *testing.T) {
	b, _, operator := listening(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	alice, bob := b.alice.stream(ctx, "0"), b.bob.stream(ctx, "")
	d := b.alice.confirmed("a", []byte("x"))
	first := nextEvent(t, alice)
	if got := first.document(t); got.ID != d.ID || got.Status != api.DocumentStatusUploaded || first.kind != "" {
		t.Fatalf("%+v", first)
	}
	topic := as[api.Topic](b.alice.post("/api/topics", api.NewTopic{Name: "Mine"}).is(201))
	b.alice.do("PATCH", path(d), api.DocumentPatch{TopicIds: []uuid.UUID{topic.ID}}).is(200)
	second := nextEvent(t, alice)
	want := as[json.RawMessage](b.alice.get(path(d)).is(200))
	if strings.TrimSpace(string(want)) != second.data {
		t.Errorf("an event says\n%s\nand GET\n%s", second.data, want)
	}
	b.alice.delete(path(d)).is(202)
	if e := nextEvent(t, alice); e.document(t).Status != api.DocumentStatusDeleting {
		t.Errorf("%+v", e)
	}
	// The object is gone, and the row with the announcement.
	docs, err := b.owner.Transition(t.Context(), []uuid.UUID{d.ID}, func(d *schema.Document, q *schema.Quota) schema.Decision { return d.MarkGone(q, time.Now()) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := operator.Publish(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	last := nextEvent(t, alice)
	if last.data != `{"id":"`+d.ID.String()+`","status":"deleted"}` {
		t.Errorf("%+v", last)
	}
	for older, newer := range map[event]event{first: second, second: last} {
		if sequence(t, older) >= sequence(t, newer) {
			t.Errorf("%s came before %s", older.id, newer.id)
		}
	}

	// Bob has heard nothing of all this.
	mine := b.bob.confirmed("b", []byte("y"))
	if e := nextEvent(t, bob); e.document(t).ID != mine.ID {
		t.Errorf("bob hears %+v", e)
	}

	// Who was away hears what came since, each document once, as it is now.
	again := b.alice.stream(ctx, second.id)
	if e := nextEvent(t, again); e.id != last.id || e.data != last.data {
		t.Errorf("after %s: %+v, want %+v", second.id, e, last)
	}
	for _, after := range []string{"999999999", "18446744073709551615"} {
		stream := b.alice.stream(ctx, after)
		if e := nextEvent(t, stream); e.kind != "resync" {
			t.Errorf("after %s: %+v", after, e)
		}
	}
	for _, after := range []string{"x", "-1", "18446744073709551616", strings.Repeat("1", 21)} {
		b.alice.get("/api/documents/events", with{"Last-Event-ID": after}).fails(schema.CodeInvalid)
	}
}

func sequence(t testing.TB, e event) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(e.id, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A server that has just started resumes from the stream; what is not in the
// stream any more cannot be told.
func TestEventsAfterARestart(t *testing.T) {
	b, _, operator := listening(t)
	d := b.alice.confirmed("a", []byte("x"))
	eventually(t, "the upload is told", func() bool { return b.unpublished() == 0 })
	b.base = b.serve(b.config)
	b.alice.base = b.base
	if e := nextEvent(t, b.alice.stream(t.Context(), "0")); e.document(t).ID != d.ID {
		t.Errorf("%+v", e)
	}
	b.alice.post(path(d)+"/reclassify", nil).is(202)
	eventually(t, "that is told", func() bool { return b.unpublished() == 0 })
	stream, err := operator.JetStream().Stream(t.Context(), schema.StreamDocuments)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.alice.base = b.serve(b.config)
	alice := b.alice.stream(t.Context(), "1")
	e := nextEvent(t, alice)
	if e.kind != "resync" || e.id != "2" {
		t.Errorf("%+v", e)
	}
	b.alice.post(path(d)+"/reclassify", nil).is(202) // the stream goes on
	if e := nextEvent(t, alice); e.document(t).ID != d.ID || e.id != "3" {
		t.Errorf("%+v", e)
	}
}

// A stream ends with the token, and with the server.
func TestEventsEnd(t *testing.T) {
	t.Parallel()
	b, _, _ := listening(t)
	short := *b.alice
	short.token = signed(t, b.alice.id, time.Now().Add(2*time.Second))
	began := time.Now()
	if e := nextEvent(t, short.stream(t.Context(), "")); e != (event{}) {
		t.Errorf("%+v", e)
	}
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("got a stream that lived %s, want about 2 s, as its token", took)
	}
	server := b.listen()
	b.alice.base = server.base
	stream := b.alice.stream(t.Context(), "")
	server.shutdown()
	if e := nextEvent(t, stream); e != (event{}) {
		t.Errorf("got %+v, want the stream to end with the server", e)
	}
}

func signed(t testing.TB, user uuid.UUID, end time.Time) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "intray", "aud": "intray-api", "sub": user.String(), "role": "user",
		"iat": time.Now().Unix(), "exp": end.Unix(),
	}).SignedString(tokenKey)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Without NATS there is nothing to be told, and the client is told that.
func TestEventsWithoutNATS(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *api.Config) {
		c.Changes = connect(t, "nats://127.0.0.1:1", "password")
		c.Timeouts.CatchUp = 50 * time.Millisecond
	})
	b.alice.get("/api/documents/events").fails(schema.CodeUnavailable)
}

// A client that does not read is cut off, and a bounded number of changes is kept
// for it until then. Another one of the same user gets every document meanwhile.
func TestEventsForASlowClient(t *testing.T) {
	t.Parallel()
	b, _, operator := listening(t)
	b.alice.base = b.serve(b.config, func(s *http.Server) {
		s.ConnState = func(conn net.Conn, state http.ConnState) {
			if state == http.StateNew {
				if err := conn.(*net.TCPConn).SetWriteBuffer(4 << 10); err != nil {
					t.Error(err)
				}
			}
		}
	})
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		return conn, err
	}}
	t.Cleanup(transport.CloseIdleConnections)
	slow := *b.alice
	slow.http = &http.Client{Transport: transport}
	stalled, quick := slow.stream(t.Context(), "0"), b.alice.stream(t.Context(), "0")

	// More than is kept for a client, with filenames that fill the connection's small buffers soon.
	docs := make([]schema.Document, 1500)
	for i := range docs {
		docs[i] = schema.NewDocument(uuid.Must(uuid.NewV7()), b.alice.id, strings.Repeat("ä", 250), "text/plain", 1, time.Now())
	}
	if err := postgrestest.AddDocuments(t.Context(), b.sql, docs); err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(docs, 300) {
		if _, err := operator.Publish(t.Context(), part); err != nil {
			t.Fatal(err)
		}
		for _, d := range part {
			if e := nextEvent(t, quick); e.kind != "" || e.document(t).ID != d.ID {
				t.Fatalf("the client that reads hears %+.200v, want %s", e, d.ID)
			}
		}
	}
	n := 0
	for {
		e := nextEvent(t, stalled)
		if e.kind == "resync" || e == (event{}) {
			t.Logf("the client that does not was cut after %d, %+v", n, e)
			break
		}
		n++
	}
	if n >= len(docs) {
		t.Error("the client that does not read was not cut off")
	}
}
