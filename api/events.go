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

// eventsPath is the route of the event stream, the only one whose response has no fixed end.
const eventsPath = "/api/documents/events"

const (
	// heartbeatInterval is the time between two comments on an idle stream. Proxies commonly close
	// a connection that is silent for a minute.
	heartbeatInterval = 15 * time.Second
	// eventWriteTimeout is how long the client may take to receive one write.
	eventWriteTimeout = 10 * time.Second
	// eventBatch is the maximum number of documents that are read and sent together.
	eventBatch = 50
)

// StreamDocumentEvents sends the changes of the caller's documents as server-sent events.
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

// eventStream is the response of StreamDocumentEvents. It exists only during the request, so it may
// hold the request's context.
type eventStream struct {
	server *server
	ctx    context.Context
	after  *uint64 // nil to send later changes only
}

// VisitStreamDocumentEventsResponse implements StreamDocumentEventsResponseObject.
func (e eventStream) VisitStreamDocumentEventsResponse(w http.ResponseWriter) error {
	notifier := e.server.notifier
	if err := e.catchUp(); err != nil {
		return err
	}
	waiter := notifier.addStream(callerOf(e.ctx).id, e.after)
	if waiter == nil {
		return &retryError{
			after: heartbeatInterval,
			cause: schema.Errorf(schema.CodeRateLimited,
				"%d of your requests are already waiting. End some of them and try again.",
				maxWaitersPerUser),
		}
	}
	defer notifier.remove(waiter)

	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // or nginx would buffer the events
	w.WriteHeader(http.StatusOK)
	e.send(w, waiter)
	return nil
}

// send sends the changes that waiter receives until the stream ends.
func (e eventStream) send(w http.ResponseWriter, waiter *waiter) {
	// Send the current position as an id without an event, so that a client that is disconnected
	// before the first event can resume from here.
	from := waiter.after // only this goroutine changes it
	if !e.write(w, fmt.Appendf(nil, "retry: 1000\nid: %d\n\n", from)) {
		return
	}
	heartbeat := time.NewTicker(heartbeatInterval)
	defer heartbeat.Stop()
	for first := true; ; first = false {
		unsent, upTo, missed := e.server.notifier.take(waiter, eventBatch)
		var open bool
		switch {
		case missed:
			// A stream that has just begun continues after the resync. If changes are missed later, the
			// client reads too slowly, so the stream ends.
			resync := fmt.Appendf(nil, "event: resync\nid: %d\ndata: {}\n\n", upTo)
			open = e.write(w, resync) && first
		case len(unsent) > 0:
			open = e.sendDocuments(w, unsent)
		default:
			open = e.idle(w, waiter, heartbeat.C, upTo)
		}
		if !open {
			return
		}
	}
}

// sendDocuments sends an event for each of the changes. It returns false if the stream must end.
func (e eventStream) sendDocuments(w http.ResponseWriter, changes []change) bool {
	text, err := e.encode(changes)
	if err == nil {
		return e.write(w, text)
	}
	if e.ctx.Err() == nil && schema.CodeOf(err) != schema.CodeUnauthenticated {
		e.server.config.Log.Warn("event stream ended because of an error",
			"user_id", callerOf(e.ctx).id, "error", err)
	}
	return false
}

// idle waits for a change or sends a heartbeat. It returns false if the stream must end.
func (e eventStream) idle(
	w http.ResponseWriter, waiter *waiter, heartbeat <-chan time.Time, upTo uint64,
) bool {
	select {
	case <-waiter.woken:
		return true
	case <-heartbeat:
		return e.write(w, fmt.Appendf(nil, ": heartbeat\nid: %d\n\n", upTo))
	case <-e.server.notifier.closed:
		return false
	case <-e.ctx.Done(): // the client has disconnected, or its token has expired
		return false
	}
}

// catchUp waits until this process has recorded the events that the client has already received. It
// waits for Timeouts.CatchUp at most, because the stream may not have an event with the client's
// id. It fails with CodeUnavailable if the process is not following events from NATS by then.
func (e eventStream) catchUp() error {
	var after uint64
	if e.after != nil {
		after = *e.after
	}
	timeout := time.After(e.server.config.Timeouts.CatchUp)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		reached, started := e.server.notifier.progress(after)
		if reached && started {
			return nil
		}
		select {
		case <-tick.C:
		case <-timeout:
			if started {
				return nil
			}
			return schema.Errorf(schema.CodeUnavailable, "not following document events yet")
		case <-e.ctx.Done():
			return e.ctx.Err()
		}
	}
}

// encode returns an event for each of the changes, in the same order. The data of an event is the
// document as it is now, which may be newer than the change.
func (e eventStream) encode(changes []change) ([]byte, error) {
	ids := make([]uuid.UUID, len(changes))
	for i, c := range changes {
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
	for _, c := range changes {
		var data any = map[string]any{"id": c.document, "status": "deleted"}
		if d, exists := documents[c.document]; exists {
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

// write sends text without buffering. It returns false if the client has disconnected or does not
// read within eventWriteTimeout.
func (e eventStream) write(w http.ResponseWriter, text []byte) bool {
	controller := http.NewResponseController(w)
	err := controller.SetWriteDeadline(time.Now().Add(eventWriteTimeout))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return false
	}
	if _, err = w.Write(text); err != nil {
		return false
	}
	return controller.Flush() == nil
}

// tokenExpiry returns the time at which the request's token expires. It does not check the token;
// authenticate does.
func tokenExpiry(h http.Header) (time.Time, bool) {
	_, token, _ := strings.Cut(h.Get("Authorization"), " ")
	var c jwt.RegisteredClaims
	_, _, err := jwt.NewParser().ParseUnverified(strings.TrimSpace(token), &c)
	if err != nil || c.ExpiresAt == nil {
		return time.Time{}, false
	}
	return c.ExpiresAt.Time, true
}
