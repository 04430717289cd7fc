package api_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"intray/api"
	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// expectEnd reads the stream up to its end, which must be an event with this reason and the end of
// the response.
func expectEnd(t testing.TB, stream *bufio.Reader, reason api.EventStreamEndReason) {
	t.Helper()
	rest, err := io.ReadAll(stream)
	if err != nil {
		t.Errorf("got error %v, want a stream that ends cleanly", err)
	}
	want := "event: end\ndata: {\"reason\":\"" + string(reason) + "\"}\n\n"
	if !strings.HasSuffix(string(rest), want) {
		t.Errorf("got %q, want it to end with %q", rest, want)
	}
}

func TestEventStreamEnds(t *testing.T) {
	t.Parallel()
	b, _ := setupWithNATS(t)
	t.Run("when the token expires", func(t *testing.T) {
		alice := b.alice.in(t)
		began := time.Now()
		alice.token = tokenExpiringAt(t, alice.id, began.Add(2*time.Second))
		expectEnd(t, alice.stream(t.Context(), ""), api.EventStreamEndReasonTokenExpired)
		if took := time.Since(began); took < 500*time.Millisecond {
			t.Errorf("the stream ended after %s, want about 2 s", took)
		}
	})
	t.Run("after an idle time that is longer than the write timeout", func(t *testing.T) {
		alice := b.alice.in(t)
		alice.token = tokenExpiringAt(t, alice.id, time.Now().Add(13*time.Second))
		expectEnd(t, alice.stream(t.Context(), ""), api.EventStreamEndReasonTokenExpired)
	})
	t.Run("when the server shuts down", func(t *testing.T) {
		b := b.in(t)
		server := b.listen()
		b.alice.base = server.base
		stream := b.alice.stream(t.Context(), "")
		stopped := make(chan struct{})
		go func() { defer close(stopped); server.shutdown() }()
		expectEnd(t, stream, api.EventStreamEndReasonShutdown)
		<-stopped
	})
	t.Run("when the database fails", func(t *testing.T) {
		b := b.in(t)
		d := b.alice.confirmed("a", []byte("x"))
		config := b.config
		b.useDatabase(&config, b.roleURL, postgres.Options{})
		alice := b.alice.in(t)
		alice.base = b.serve(config)
		stream := alice.stream(t.Context(), "")
		if err := config.DB.Close(); err != nil {
			t.Fatal(err)
		}
		b.alice.post(path(d)+"/reclassify", nil).is(202)
		expectEnd(t, stream, api.EventStreamEndReasonUnavailable)
	})
}

// TestEventStreamOfRemovedUserEnds checks that the stream of a removed user ends after a hint, and
// without one at the next heartbeat or document event.
func TestEventStreamOfRemovedUserEnds(t *testing.T) {
	t.Parallel()
	b, operator := setupWithNATS(t)
	quick := b.config
	quick.Timeouts.Heartbeat = 50 * time.Millisecond
	slow := b.config
	slow.Timeouts.Heartbeat = time.Hour
	for name, c := range map[string]struct {
		config api.Config
		after  func(user uuid.UUID)
	}{
		"hint": {slow, func(user uuid.UUID) { operator.Hint(schema.HintRemoved, user) }},
		"document event": {slow, func(user uuid.UUID) {
			d := schema.NewDocument(uuid.Must(uuid.NewV7()), user, "a", "text/plain", 1, time.Now())
			if _, err := operator.Publish(t.Context(), []schema.Document{d}); err != nil {
				t.Error(err)
			}
		}},
		"heartbeat": {quick, func(uuid.UUID) {}},
	} {
		t.Run(name, func(t *testing.T) {
			b := b.in(t)
			user := b.user(strings.ReplaceAll(name, " ", "-"), schema.RoleUser)
			user.base = b.serve(c.config)
			stream := user.stream(t.Context(), "")
			if _, _, err := b.owner.RemoveUser(t.Context(), user.id, 10); err != nil {
				t.Fatal(err)
			}
			c.after(user.id)
			expectEnd(t, stream, api.EventStreamEndReasonUserRemoved)
			user.get("/api/documents/events").fails(schema.CodeUnauthenticated)
		})
	}
	t.Run("a hint about a user who exists ends no stream", func(t *testing.T) {
		b := b.in(t)
		b.alice.base = b.serve(slow)
		stream := b.alice.stream(t.Context(), "")
		operator.Hint(schema.HintRemoved, b.alice.id)
		d := b.alice.confirmed("a", []byte("x"))
		if got := nextEvent(t, stream); got.document(t).ID != d.ID {
			t.Errorf("got event %+v, want document %s", got, d.ID)
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

// TestEventStreamOfSlowClient checks that a client that does not read for a while receives a resync
// instead of more than a limited number of changes, and then goes on, and that another client of
// the same user receives all changes.
func TestEventStreamOfSlowClient(t *testing.T) {
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
	stalled, quick := slow.stream(t.Context(), ""), b.alice.stream(t.Context(), "")

	// There are more documents than the changes that a stream queues. Their filenames are long, to
	// fill the buffers.
	docs := make([]schema.Document, 1501)
	longName := strings.Repeat("ä", 250)
	for i := range docs {
		id := uuid.Must(uuid.NewV7())
		docs[i] = schema.NewDocument(id, b.alice.id, longName, "text/plain", 1, time.Now())
	}
	if err := postgrestest.AddDocuments(t.Context(), b.sql, docs); err != nil {
		t.Fatal(err)
	}
	docs, last := docs[:1500], docs[1500:]
	for chunk := range slices.Chunk(docs, 300) {
		if _, err := operator.Publish(t.Context(), chunk); err != nil {
			t.Fatal(err)
		}
		for _, d := range chunk {
			if got := nextEvent(t, quick); got.kind != "document" || got.document(t).ID != d.ID {
				t.Fatalf("client that reads: got event %+.200v, want document %s", got, d.ID)
			}
		}
	}
	received := 0
	for {
		got := nextEvent(t, stalled)
		if got.kind == "resync" {
			t.Logf("the slow client received %d events, then %+v", received, got)
			break
		}
		if received++; got.kind != "document" || received >= len(docs) {
			t.Fatalf("slow client: got event %d %+.200v, want a resync", received, got)
		}
	}
	if _, err := operator.Publish(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if got := nextEvent(t, stalled); got.document(t).ID != last[0].ID {
		t.Errorf("after the resync: got event %+.200v, want document %s", got, last[0].ID)
	}
}
