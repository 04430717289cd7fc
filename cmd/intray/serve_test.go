package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serveMetrics runs the private server until the test ends, and returns its URL.
func serveMetrics(t *testing.T, ctx context.Context, writeTimeout time.Duration) string {
	t.Helper()
	var log bytes.Buffer
	listener, err := listen(ctx, "private", "127.0.0.1:0", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	want := "msg=listening listener=private address=" + address
	if !strings.Contains(log.String(), want) {
		t.Errorf("got log %q, want %q in it", &log, want)
	}
	server := privateServer(ctx)
	server.WriteTimeout = min(server.WriteTimeout, writeTimeout)
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, server, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serve: got error %v, want none", err)
		}
	})
	return "http://" + address
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	return resp.StatusCode, string(text)
}

func TestPrivateServer(t *testing.T) {
	url := serveMetrics(t, t.Context(), time.Hour)
	for path, want := range map[string]string{
		"/healthz":                       "ok\n",
		"/metrics":                       "\nintray_build_info{",
		"/debug/pprof/":                  "Types of profiles available",
		"/debug/pprof/goroutine?debug=1": "goroutine profile: total",
		"/debug/pprof/heap?debug=1":      "heap profile: ",
		"/debug/pprof/cmdline":           ".test",
		"/debug/pprof/symbol":            "num_symbols",
	} {
		if status, body := get(t, url+path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("GET %s: got status %d, body\n%s\nwant 200, with %q in the body",
				path, status, body, want)
		}
	}
	if status, _ := get(t, url+"/"); status != http.StatusNotFound {
		t.Errorf("GET /: got status %d, want 404", status)
	}
}

// The duration of a profile or trace may be longer than the write timeout.
func TestProfilesOutlastTheWriteTimeout(t *testing.T) {
	url := serveMetrics(t, t.Context(), 100*time.Millisecond)
	for _, path := range []string{"/debug/pprof/profile?seconds=1", "/debug/pprof/trace?seconds=1"} {
		if status, body := get(t, url+path); status != http.StatusOK || body == "" {
			t.Errorf("GET %s: got status %d and %d bytes, want 200 and some", path, status, len(body))
		}
	}
}

// A profile or trace in progress must not delay the end of the process.
func TestProfilesEndWithTheServer(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	url := serveMetrics(t, ctx, time.Hour)
	started := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		// Get returns with the first bytes of the trace, which are sent immediately.
		resp, err := http.Get(url + "/debug/pprof/trace?seconds=3600")
		close(started)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		ended <- err
	}()
	<-started
	stop()
	if err := <-ended; err != nil {
		t.Errorf("got error %v, want a complete trace", err)
	}
}
