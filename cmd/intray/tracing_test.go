package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"intray/cmd/internal/stacktest"
)

// spans starts a server that receives traces. The function of returns the names of the spans of a
// trace, with the names of their parents.
func spans(t *testing.T) (address string, of func(trace string) map[string]string) {
	type span struct{ TraceID, SpanID, ParentSpanID, Name string }
	var mu sync.Mutex
	var all []span
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var request struct {
			ResourceSpans []struct{ ScopeSpans []struct{ Spans []span } }
		}
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, resource := range request.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				all = append(all, scope.Spans...)
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, func(trace string) map[string]string {
		mu.Lock()
		defer mu.Unlock()
		names, found := map[string]string{}, map[string]string{}
		for _, s := range all {
			if s.TraceID == trace {
				names[s.SpanID] = s.Name
			}
		}
		for _, s := range all {
			if s.TraceID == trace {
				found[s.Name] = names[s.ParentSpanID]
			}
		}
		return found
	}
}

// testTraces checks the trace of one upload, from the request for its URL to its classification.
func testTraces(t *testing.T, s *stack, of func(trace string) map[string]string) {
	alice := s.Login(t, "alice")
	id := alice.Upload("traced.txt", "text/plain", []byte(invoice))
	alice.Becomes(id, 30*time.Second, "classified")
	const first = "POST /api/documents/upload-url"
	stacktest.Await(t, 20*time.Second, "all spans of the trace", func() error {
		found := of(strings.ReplaceAll(id, "-", ""))
		for _, name := range []string{
			first, "PUT object", "s3:ObjectCreated:Put", "confirm", "documents.uploaded", "classify",
		} {
			parent, ok := found[name]
			if !ok || (name == first) != (parent == "") || name != first && parent != first {
				return fmt.Errorf("%s: got parent %q in %v, want %q", name, parent, found, first)
			}
		}
		return nil
	})
}
