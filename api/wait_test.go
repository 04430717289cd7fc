package api_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/api"
	"intray/infra/local/localtest"
	"intray/infra/nats"
)

// listening is an API that hears what happens to documents.
func listening(t *testing.T, change ...func(*api.Config)) (*bundle, *localtest.NATSServer, *nats.Conn) {
	t.Helper()
	server, operator := announced(t)
	conn := connect(t, server.URL, server.Passwords[nats.UserAPI])
	return setup(t, append([]func(*api.Config){func(c *api.Config) { c.NATS, c.Changes = conn, conn }}, change...)...), server, operator
}

func waiting(seconds int, etag string) with {
	return with{"Prefer": fmt.Sprintf("wait=%d", seconds), "If-None-Match": etag}
}

// later calls do in the background and gives its answer with the time it came.
type later struct {
	*answer
	at time.Time
}

func inBackground(do func() *answer) <-chan later {
	ch := make(chan later, 1)
	go func() { a := do(); ch <- later{a, time.Now()} }()
	return ch
}

// quiet waits until the API has sent the database nothing for a while, so that
// whoever was to wait does.
func quiet(t testing.TB, w *proxy) {
	t.Helper()
	last, since := w.sent.Load(), time.Now()
	eventually(t, "the database is left alone", func() bool {
		if now := w.sent.Load(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 150*time.Millisecond
	})
}

func TestWaitForADocument(t *testing.T) {
	b, _, _ := listening(t)
	d := b.alice.confirmed("a", []byte("x"))
	first := b.alice.get(path(d)).is(200)
	if got := first.header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After of an uploaded document: %q", got)
	}
	etag := first.header.Get("ETag")
	b.alice.get(path(d), with{"Prefer": "wait=30"}).is(200) // says not what it knows
	b.alice.get(path(d), waiting(30, `"other"`)).is(200)

	began := time.Now()
	a := b.alice.get(path(d), waiting(1, etag)).is(304)
	if retry, got := a.header.Get("Retry-After"), a.header.Get("ETag"); retry != "0" || got != etag {
		t.Errorf("got Retry-After %q and ETag %q, want 0 and %q", retry, got, etag)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("got an answer after %s, want a wait of 1 s", took)
	}

	eventually(t, "the upload is published", func() bool { return b.unpublished() == 0 })
	for range 20 {
		etag = b.alice.get(path(d)).is(200).header.Get("ETag")
		listing := b.alice.get("/api/documents").is(200).header.Get("ETag")
		change := inBackground(func() *answer { return b.alice.get(path(d), waiting(30, etag)) })
		other := inBackground(func() *answer { return b.alice.get("/api/documents", waiting(30, listing)) })
		began := time.Now()
		b.alice.post(path(d)+"/reclassify", nil).is(202)
		a := <-change
		if got := a.is(200).header.Get("ETag"); got == etag {
			t.Fatalf("got the ETag %s that was known, want another", got)
		}
		(<-other).is(200)
		if took := a.at.Sub(began); took > 15*time.Second {
			t.Errorf("got the answer %s after the change, want it to end the wait of 30 s", took)
		}
	}

	b.classify(d.ID)
	etag = b.alice.get(path(d)).is(200).header.Get("ETag")
	if got := b.alice.get(path(d), with{"If-None-Match": etag}).is(304).header.Get("Retry-After"); got != "" {
		t.Errorf("Retry-After of a classified document: %q", got)
	}
	gone := inBackground(func() *answer { return b.alice.get(path(d), waiting(30, etag)) })
	b.alice.delete(path(d)).is(202)
	if a := <-gone; as[api.Document](a.is(200)).Status != api.DocumentStatusDeleting {
		t.Errorf("after DELETE: %s", a.body)
	}
}

func TestWaitForAListing(t *testing.T) {
	t.Parallel()
	b, _, _ := listening(t)
	d := b.alice.confirmed("a", []byte("x"))
	for _, query := range []string{"", "?status=uploaded", "?q=A"} {
		list := "/api/documents" + query
		a := b.alice.get(list).is(200)
		etag := a.header.Get("ETag")
		if a.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
		}
		if got := b.alice.get(list, with{"If-None-Match": "W/" + etag}).is(304).header.Get("ETag"); got != etag {
			t.Errorf("ETag %q, want %q", got, etag)
		}
		changed := inBackground(func() *answer { return b.alice.get(list, waiting(30, etag)) })
		b.alice.post(path(d)+"/reclassify", nil).is(202)
		(<-changed).is(200)
	}
	// Another user's changes, and one's own on no page that is waited for, wake nobody.
	list := "/api/documents?status=failed"
	etag := b.alice.get(list).is(200).header.Get("ETag")
	still := inBackground(func() *answer { return b.alice.get(list, waiting(1, etag)) })
	b.bob.confirmed("b", []byte("x"))
	b.alice.post(path(d)+"/reclassify", nil).is(202)
	(<-still).is(304)

	// The page's ETag is of its content: a topic's name belongs to it.
	topic := as[api.Topic](b.alice.post("/api/topics", api.NewTopic{Name: "One"}).is(201))
	b.alice.do("PATCH", path(d), api.DocumentPatch{TopicIds: []uuid.UUID{topic.ID}}).is(200)
	etag = b.alice.get("/api/documents").header.Get("ETag")
	b.alice.do("PATCH", "/api/topics/"+topic.ID.String(), api.TopicPatch{Name: ptr("Two")}).is(200)
	b.alice.get("/api/documents", with{"If-None-Match": etag}).is(200)
}

// A wait outlives the server's timeouts for requests that do not wait, and ends at the
// limit. NATS is away, so nothing but the wait's end answers.
func TestWaitOutlivesTheTimeouts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.alice.confirmed("a", []byte("x"))
	etag := b.alice.get(path(d)).header.Get("ETag")
	config := b.config
	config.Timeouts = api.Timeouts{Request: 10 * time.Second, Wait: time.Second}
	const timeout = 300 * time.Millisecond
	b.alice.base = b.serve(config, func(s *http.Server) { s.ReadTimeout, s.WriteTimeout = timeout, timeout })
	began := time.Now()
	b.alice.get(path(d), waiting(99, etag)).is(304)
	if took := time.Since(began); took < config.Timeouts.Wait {
		t.Errorf("got an answer after %s, want a wait of %s", took, config.Timeouts.Wait)
	}
}

// TestOddPreferences: what cannot be understood is no preference, and is answered
// although nothing would end the wait.
func TestOddPreferences(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a", []byte("x"))
	etag := b.alice.get(path(d)).header.Get("ETag")
	config := b.config
	config.Timeouts.Wait = time.Hour
	b.alice.base = b.serve(config)
	for _, prefer := range []string{
		"", "wait", "wait=", "wait=-1", "wait=x", "waiting=3600", "respond-async", "wait=0",
	} {
		t.Run(prefer, func(t *testing.T) {
			b.alice.in(t).get(path(d), with{"Prefer": prefer, "If-None-Match": etag}).is(304)
		})
	}
	t.Run("one of several", func(t *testing.T) {
		began := time.Now()
		b.alice.in(t).get(path(d), with{"Prefer": `respond-async, Wait = "1"; foo`, "If-None-Match": etag}).is(304)
		if took := time.Since(began); took < time.Second {
			t.Errorf("got an answer after %s, want a wait of 1 s", took)
		}
	})
}

// A shutdown lets nobody wait: those who do are answered.
func TestShutdownReleasesWaiters(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a", []byte("x"))
	etag := b.alice.get(path(d)).header.Get("ETag")
	server := b.listen()
	other := b.alice.in(t)
	other.base = server.base
	waiter := inBackground(func() *answer { return other.get(path(d), waiting(30, etag)) })
	eventually(t, "the request waits", func() bool { return server.handler.Waiting() == 1 })
	server.shutdown()
	(<-waiter).is(304)
}

// TestThousandWaiters: a thousand requests that wait cost little memory, and the
// database nothing; one change answers all of them, with one look each.
func TestThousandWaiters(t *testing.T) {
	b, _, _ := listening(t)
	d := b.alice.confirmed("a", []byte("x"))
	eventually(t, "the upload is told", func() bool { return b.unpublished() == 0 })
	address, err := url.Parse(b.address)
	if err != nil {
		t.Fatal(err)
	}
	database := startProxy(t, address.Host)
	address.Host = database.address
	config := b.config
	config.DB = open(t, address.String())
	handler, base := b.serveHandler(config)
	at := strings.TrimPrefix(base, "http://")

	const clients = 1000
	document := b.alice.get(path(d)).is(200).header.Get("ETag")
	listing := b.alice.get("/api/documents").is(200).header.Get("ETag")
	before := memory()
	conns := make([]net.Conn, clients)
	for i := range conns {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		what, etag := path(d), document
		switch {
		case i%10 == 0:
			what, etag = "/api/documents/events", ""
		case i%2 == 0:
			what, etag = "/api/documents", listing
		}
		_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: intray\r\nAuthorization: Bearer %s\r\nIf-None-Match: %s\r\nPrefer: wait=30\r\n\r\n", what, b.alice.token, etag)
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
	}
	eventually(t, "all wait", func() bool { return handler.Waiting() == clients })
	quiet(t, database)
	sent := database.sent.Load()
	began := time.Now()
	eventually(t, "a second passes", func() bool { return time.Since(began) > time.Second })
	if more := database.sent.Load() - sent; more != 0 {
		t.Errorf("got %d bytes to the database while nothing changed, want none", more)
	}
	grown := memory() - before
	t.Logf("%d waiting clients: %.1f MiB of heap and stacks, both ends of the connections included; RSS of all tests %.1f MiB", clients, float64(grown)/(1<<20), rss(t))
	if grown > 100<<20 {
		t.Errorf("they cost %d bytes", grown)
	}

	b.alice.post(path(d)+"/reclassify", nil).is(202)
	began = time.Now()
	var first, last time.Duration
	for i, conn := range conns {
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(conn)
		resp, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("client %d: %d", i, resp.StatusCode)
		}
		if i%10 == 0 { // a stream has begun before
			if e := nextEvent(t, bufio.NewReader(resp.Body)); !strings.Contains(e.data, `"status":"uploaded"`) {
				t.Errorf("client %d: %+v", i, e)
			}
		}
		if last = time.Since(began); i == 0 {
			first = last
		}
	}
	t.Logf("after the change the first answer came in %s, the last in %s, with %d bytes to the database for each", first, last, (database.sent.Load()-sent)/clients)
}

// memory is what the heap and the stacks hold, in bytes, garbage left out.
func memory() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// rss is the resident memory of this process, in MiB.
func rss(t *testing.T) float64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return float64(resident*os.Getpagesize()) / (1 << 20)
}
