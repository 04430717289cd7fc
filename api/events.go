package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"intray/schema"
)

// eventsPath is the route whose answer does not end by itself.
const eventsPath = "/api/documents/events"

const (
	// heartbeat is the time between two signs of life on a silent stream. Proxies
	// commonly cut one that is silent for a minute.
	heartbeat = 15 * time.Second
	// eventWrite is how long a client may take to read what is sent at once.
	eventWrite = 10 * time.Second
	// eventBatch is how many documents are read and sent at once.
	eventBatch = 50
)

// StreamDocumentEvents sends the changes of the caller's documents as they come.
func (s *server) StreamDocumentEvents(
	ctx context.Context, r StreamDocumentEventsRequestObject,
) (StreamDocumentEventsResponseObject, error) {
	if _, err := s.userDB(ctx).Me(ctx); err != nil {
		return nil, err
	}
	var after *uint64
	if r.Params.LastEventID != nil {
		n, err := strconv.ParseUint(*r.Params.LastEventID, 10, 64)
		if err != nil {
			return nil, schema.Errorf(schema.CodeInvalid,
				`The header "Last-Event-ID" must be the id of an event of this stream.`)
		}
		after = &n
	}
	return eventStream{server: s, ctx: ctx, after: after}, nil
}

// eventStream is an answer. It lives as long as its request, whose context it
// therefore holds.
type eventStream struct {
	server *server
	ctx    context.Context
	after  *uint64 // nil: from now on
}

// VisitStreamDocumentEventsResponse implements StreamDocumentEventsResponseObject.
func (e eventStream) VisitStreamDocumentEventsResponse(w http.ResponseWriter) error {
	changes := e.server.changes
	if err := e.arrive(); err != nil {
		return err
	}
	waiter := changes.stream(callerOf(e.ctx).id, e.after)
	if waiter == nil {
		return &retryError{after: heartbeat, cause: schema.Errorf(schema.CodeRateLimited,
			"%d of your requests wait already. End some and try again.", maxWaiters)}
	}
	defer changes.leave(waiter)

	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events back
	w.WriteHeader(http.StatusOK)
	e.send(w, waiter)
	return nil
}

// send sends the changes that the waiter hears until the stream ends.
func (e eventStream) send(w http.ResponseWriter, waiter *waiter) {
	// Where the stream begins is an id too, without an event: a client that is cut
	// off before the first one resumes here.
	from := waiter.after // nobody else writes it
	if !e.write(w, fmt.Appendf(nil, "retry: 1000\nid: %d\n\n", from)) {
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for first := true; ; first = false {
		unsent, upTo, lost := e.server.changes.take(waiter, eventBatch)
		var goesOn bool
		switch {
		case lost:
			// A client that is too slow to be kept up with goes; one that has only
			// just come goes on from here.
			goesOn = e.write(w, fmt.Appendf(nil, "event: resync\nid: %d\ndata: {}\n\n", upTo)) && first
		case len(unsent) > 0:
			goesOn = e.sendDocuments(w, unsent)
		default:
			goesOn = e.idle(w, waiter, beat.C, upTo)
		}
		if !goesOn {
			return
		}
	}
}

// sendDocuments sends the changes' documents. It reports whether the stream goes on.
func (e eventStream) sendDocuments(w http.ResponseWriter, unsent []change) bool {
	text, err := e.events(unsent)
	if err == nil {
		return e.write(w, text)
	}
	if e.ctx.Err() == nil && schema.CodeOf(err) != schema.CodeUnauthenticated {
		e.server.config.Log.Warn("stream of events ends early",
			"user_id", callerOf(e.ctx).id, "error", err)
	}
	return false
}

// idle waits for a change, or sends a sign of life. It reports whether the stream
// goes on.
func (e eventStream) idle(
	w http.ResponseWriter, waiter *waiter, beat <-chan time.Time, upTo uint64,
) bool {
	select {
	case <-waiter.wake:
		return true
	case <-beat:
		return e.write(w, fmt.Appendf(nil, ": still there\nid: %d\n\n", upTo))
	case <-e.server.changes.ended:
		return false
	case <-e.ctx.Done(): // the client is gone, or its token has ended
		return false
	}
}

// arrive waits until this process has heard what the client has. It fails with
// CodeUnavailable where it has heard nothing at all yet, for want of NATS.
func (e eventStream) arrive() error {
	var after uint64
	if e.after != nil {
		after = *e.after
	}
	end, tick := time.After(e.server.config.Timeouts.CatchUp), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		reached, begun := e.server.changes.reached(after)
		if reached && begun {
			return nil
		}
		select {
		case <-tick.C:
		case <-end:
			if begun { // no id of this stream, or not any more
				return nil
			}
			return schema.Errorf(schema.CodeUnavailable, "no event was heard yet")
		case <-e.ctx.Done():
			return e.ctx.Err()
		}
	}
}

// events are the documents of the changes as they are now, in the changes' order.
func (e eventStream) events(unsent []change) ([]byte, error) {
	ids := make([]uuid.UUID, len(unsent))
	for i, c := range unsent {
		ids[i] = c.document
	}
	ctx, cancel := context.WithTimeout(e.ctx, e.server.config.Timeouts.Request)
	defer cancel()
	views, err := e.server.userDB(e.ctx).DocumentsByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	documents := make(map[uuid.UUID]Document, len(views))
	for _, v := range views {
		documents[v.ID] = documentOf(v)
	}
	var text bytes.Buffer
	for _, c := range unsent {
		var data any = map[string]any{"id": c.document, "status": "deleted"}
		if d, there := documents[c.document]; there {
			data = d
		}
		encoded, err := json.Marshal(data)
		if err != nil {
			return nil, fmt.Errorf("encode document %s: %w", c.document, err)
		}
		fmt.Fprintf(&text, "id: %d\ndata: %s\n\n", c.sequence, encoded)
	}
	return text.Bytes(), nil
}

// write sends text at once. It returns false if the client is gone or does not
// read.
func (e eventStream) write(w http.ResponseWriter, text []byte) bool {
	controller := http.NewResponseController(w)
	err := controller.SetWriteDeadline(time.Now().Add(eventWrite))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return false
	}
	if _, err = w.Write(text); err != nil {
		return false
	}
	return controller.Flush() == nil
}

// tokenEnd is when the token of a request ends, whether it is good or not: what is
// done with it is checked elsewhere.
func tokenEnd(h http.Header) (time.Time, bool) {
	_, token, _ := strings.Cut(h.Get("Authorization"), " ")
	var c jwt.RegisteredClaims
	_, _, err := jwt.NewParser().ParseUnverified(strings.TrimSpace(token), &c)
	if err != nil || c.ExpiresAt == nil {
		return time.Time{}, false
	}
	return c.ExpiresAt.Time, true
}
