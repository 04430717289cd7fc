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

	"intray/api"
	"intray/infra/nats"
	"intray/infra/postgres"
)

// setupWithNATS starts an API that is connected to NATS and follows document events. It also
// returns an operator's connection.
func setupWithNATS(t *testing.T) (*bundle, *nats.Conn) {
	t.Helper()
	server, operator := startNATS(t)
	conn := connect(t, server.URL, server.Passwords[nats.UserAPI])
	return setup(t, func(c *api.Config) { c.NATS, c.Changes = conn, conn }), operator
}

// waiting returns the headers of a request that waits until the entity tag is no longer etag.
func waiting(seconds int, etag string) with {
	return with{"Prefer": fmt.Sprintf("wait=%d", seconds), "If-None-Match": etag}
}

// timedResponse is a response with the time at which it arrived.
type timedResponse struct {
	*response
	at time.Time
}

// inBackground calls request in a goroutine and sends its response.
func inBackground(request func() *response) <-chan timedResponse {
	ch := make(chan timedResponse, 1)
	go func() { r := request(); ch <- timedResponse{r, time.Now()} }()
	return ch
}

// waitUntilIdle waits until the API has sent nothing to the database for 150 ms.
func waitUntilIdle(t testing.TB, database *proxy) {
	t.Helper()
	last, since := database.sent.Load(), time.Now()
	eventually(t, "the database is idle", func() bool {
		if now := database.sent.Load(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 150*time.Millisecond
	})
}

// checkMinimum reports an error if less time than want has passed since began.
func checkMinimum(t testing.TB, began time.Time, want time.Duration) {
	t.Helper()
	if took := time.Since(began); took < want {
		t.Errorf("got a response after %s, want a wait of %s", took, want)
	}
}

// checkRetryAfter reports an error unless the response has this Retry-After.
func (a *response) checkRetryAfter(want string) {
	a.t.Helper()
	if got := a.header.Get("Retry-After"); got != want {
		a.t.Errorf("%s: got Retry-After %q, want %q", a.request, got, want)
	}
}

func TestWaitForDocument(t *testing.T) {
	b, _ := setupWithNATS(t)
	d := b.alice.confirmed("a", []byte("x"))

	t.Run("without a matching ETag the response is immediate", func(t *testing.T) {
		b := b.in(t)
		b.alice.get(path(d)).is(200).checkRetryAfter("1")
		b.alice.get(path(d), with{"Prefer": "wait=30"}).is(200)
		b.alice.get(path(d), waiting(30, `"other"`)).is(200)
	})
	t.Run("without a change the wait ends with 304", func(t *testing.T) {
		b := b.in(t)
		etag := b.alice.get(path(d)).is(200).header.Get("ETag")
		began := time.Now()
		got := b.alice.get(path(d), waiting(1, etag)).is(304)
		got.checkRetryAfter("0")
		if got := got.header.Get("ETag"); got != etag {
			t.Errorf("got ETag %q, want %q", got, etag)
		}
		checkMinimum(t, began, time.Second)
	})
	t.Run("a change ends the wait", func(t *testing.T) {
		b := b.in(t)
		eventually(t, "the upload is published", func() bool { return b.unpublished() == 0 })
		for range 20 {
			etag := b.alice.get(path(d)).is(200).header.Get("ETag")
			pageETag := b.alice.get("/api/documents").is(200).header.Get("ETag")
			document := inBackground(func() *response {
				return b.alice.get(path(d), waiting(30, etag))
			})
			page := inBackground(func() *response {
				return b.alice.get("/api/documents", waiting(30, pageETag))
			})
			began := time.Now()
			b.alice.post(path(d)+"/reclassify", nil).is(202)
			changed := <-document
			if got := changed.is(200).header.Get("ETag"); got == etag {
				t.Fatalf("got the same ETag %s, want a different one", got)
			}
			(<-page).is(200)
			if took := changed.at.Sub(began); took > 15*time.Second {
				t.Errorf("got the response %s after the change, want it within the wait of 30 s",
					took)
			}
		}
	})
	t.Run("a deletion ends the wait", func(t *testing.T) {
		b := b.in(t)
		b.classify(d.ID)
		etag := b.alice.get(path(d)).is(200).header.Get("ETag")
		b.alice.get(path(d), with{"If-None-Match": etag}).is(304).checkRetryAfter("")
		document := inBackground(func() *response {
			return b.alice.get(path(d), waiting(30, etag))
		})
		b.alice.delete(path(d)).is(202)
		deleted := <-document
		if got := as[api.Document](deleted.is(200)).Status; got != api.DocumentStatusDeleting {
			t.Errorf("got status %s, want deleting", got)
		}
	})
}

func TestWaitForPage(t *testing.T) {
	t.Parallel()
	b, _ := setupWithNATS(t)
	d := b.alice.confirmed("a", []byte("x"))
	for _, query := range []string{"", "?status=uploaded", "?q=A"} {
		t.Run("a change on the page "+query+" ends the wait", func(t *testing.T) {
			b := b.in(t)
			page := "/api/documents" + query
			got := b.alice.get(page).is(200)
			got.checkRetryAfter("1")
			etag := got.header.Get("ETag")
			weak := with{"If-None-Match": "W/" + etag}
			if got := b.alice.get(page, weak).is(304).header.Get("ETag"); got != etag {
				t.Errorf("got ETag %q, want %q", got, etag)
			}
			changed := inBackground(func() *response {
				return b.alice.get(page, waiting(30, etag))
			})
			b.alice.post(path(d)+"/reclassify", nil).is(202)
			(<-changed).is(200)
		})
	}
	t.Run("other changes do not end the wait", func(t *testing.T) {
		b := b.in(t)
		page := "/api/documents?status=failed"
		etag := b.alice.get(page).is(200).header.Get("ETag")
		unchanged := inBackground(func() *response {
			return b.alice.get(page, waiting(1, etag))
		})
		b.bob.confirmed("b", []byte("x"))
		b.alice.post(path(d)+"/reclassify", nil).is(202)
		(<-unchanged).is(304)
	})
	t.Run("renaming a topic changes the ETag", func(t *testing.T) {
		b := b.in(t)
		topic := b.alice.createTopic("One")
		b.alice.setTopics(d, topic.ID).is(200)
		etag := b.alice.get("/api/documents").header.Get("ETag")
		b.alice.patch("/api/topics/"+topic.ID.String(), api.TopicPatch{Name: ptr("Two")}).is(200)
		b.alice.get("/api/documents", with{"If-None-Match": etag}).is(200)
	})
}

// TestWaitExceedsServerTimeouts checks that a wait may take longer than the server's timeouts for
// other requests, and ends at Timeouts.Wait. Without NATS there is no event that ends it earlier.
func TestWaitExceedsServerTimeouts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.alice.confirmed("a", []byte("x"))
	etag := b.alice.get(path(d)).header.Get("ETag")
	config := b.config
	config.Timeouts = api.Timeouts{Request: 10 * time.Second, Wait: time.Second}
	const timeout = 300 * time.Millisecond
	b.alice.base = b.serve(config, func(s *http.Server) {
		s.ReadTimeout, s.WriteTimeout = timeout, timeout
	})
	began := time.Now()
	b.alice.get(path(d), waiting(99, etag)).is(304)
	checkMinimum(t, began, config.Timeouts.Wait)
}

// TestPreferHeader checks which headers make a request wait. Timeouts.Wait is an hour, so the test
// would time out if a request waited by mistake.
func TestPreferHeader(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a", []byte("x"))
	etag := b.alice.get(path(d)).header.Get("ETag")
	config := b.config
	config.Timeouts.Wait = time.Hour
	b.alice.base = b.serve(config)
	for _, prefer := range []string{
		"", "wait", "wait=", "wait=-1", "wait=x", "waiting=3600", "respond-async", "wait=0",
	} {
		t.Run("no wait for "+prefer, func(t *testing.T) {
			headers := with{"Prefer": prefer, "If-None-Match": etag}
			b.alice.in(t).get(path(d), headers).is(304)
		})
	}
	t.Run("one of several preferences", func(t *testing.T) {
		began := time.Now()
		headers := with{"Prefer": `respond-async, Wait = "1"; foo`, "If-None-Match": etag}
		b.alice.in(t).get(path(d), headers).is(304)
		checkMinimum(t, began, time.Second)
	})
}

func TestShutdownEndsWaits(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a", []byte("x"))
	etag := b.alice.get(path(d)).header.Get("ETag")
	server := b.listen()
	b.alice.base = server.base
	waiter := inBackground(func() *response { return b.alice.get(path(d), waiting(30, etag)) })
	eventually(t, "the request waits", func() bool { return server.handler.Waiting() == 1 })
	server.shutdown()
	(<-waiter).is(304)
}

// TestThousandWaitersAreCheap checks that a thousand requests that wait take little memory and make
// no queries, and that a single change ends all of them.
func TestThousandWaitersAreCheap(t *testing.T) {
	b, _ := setupWithNATS(t)
	d := b.alice.confirmed("a", []byte("x"))
	eventually(t, "the upload is published", func() bool { return b.unpublished() == 0 })
	address, err := url.Parse(b.roleURL)
	if err != nil {
		t.Fatal(err)
	}
	database := startProxy(t, address.Host)
	address.Host = database.address
	config := b.config
	b.useDatabase(&config, address.String(), postgres.Options{})
	handler, base := b.serveHandler(config)

	const clients = 1000
	isStream := func(i int) bool { return i%10 == 0 }
	documentETag := b.alice.get(path(d)).is(200).header.Get("ETag")
	pageETag := b.alice.get("/api/documents").is(200).header.Get("ETag")
	before := memory()
	conns := make([]net.Conn, clients)
	for i := range conns {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp",
			strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		path, etag := path(d), documentETag
		switch {
		case isStream(i):
			path, etag = "/api/documents/events", ""
		case i%2 == 0:
			path, etag = "/api/documents", pageETag
		}
		_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: intray\r\n"+
			"Authorization: Bearer %s\r\nIf-None-Match: %s\r\nPrefer: wait=30\r\n\r\n",
			path, b.alice.token, etag)
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
	}
	eventually(t, "all requests wait", func() bool { return handler.Waiting() == clients })
	waitUntilIdle(t, database)
	sent := database.sent.Load()
	began := time.Now()
	eventually(t, "a second has passed", func() bool { return time.Since(began) > time.Second })
	// The DB itself opens a connection every few seconds, with some hundred bytes.
	if got := database.sent.Load() - sent; got > clients {
		t.Errorf("got %d bytes sent to the database without a change, want at most %d", got, clients)
	}
	grown := memory() - before
	t.Logf("%d waiting clients take %.1f MiB of heap and stacks for both ends of the connections; "+
		"the resident memory of all tests is %.1f MiB", clients, float64(grown)/(1<<20), rss(t))
	if grown > 100<<20 {
		t.Errorf("got %d bytes for the waiting clients, want at most 100 MiB", grown)
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
			t.Fatalf("client %d: got status %d, want 200", i, resp.StatusCode)
		}
		if isStream(i) { // its header arrived before the change
			e := nextEvent(t, bufio.NewReader(resp.Body))
			if !strings.Contains(e.data, `"status":"uploaded"`) {
				t.Errorf("client %d: got event %+v, want the document uploaded", i, e)
			}
		}
		if last = time.Since(began); i == 0 {
			first = last
		}
	}
	t.Logf("the first response arrived %s after the change and the last one after %s; "+
		"each took %d bytes sent to the database",
		first, last, (database.sent.Load()-sent)/clients)
}

// memory returns the size of the heap and the stacks in bytes, after a garbage collection.
func memory() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// rss returns the resident memory of this process in MiB.
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
