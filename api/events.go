package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"intray/schema"
)

// eventsPath is the route of the event stream, the only one whose response has no fixed end.
const eventsPath = "/api/documents/events"

const (
	// eventWriteTimeout is how long the client may take to receive one write.
	eventWriteTimeout = 10 * time.Second
	// eventBatch is the maximum number of documents that are read and sent together.
	eventBatch = 50
	// accountCheckTimeout bounds the query that finds out whether the user still exists.
	accountCheckTimeout = 5 * time.Second
)

// StreamDocumentEvents sends the changes of the caller's documents as server-sent events.
func (s *server) StreamDocumentEvents(
	ctx context.Context, r StreamDocumentEventsRequestObject,
) (StreamDocumentEventsResponseObject, error) {
	if _, err := s.userDB(ctx).Me(ctx); err != nil {
		return nil, err
	}
	ids, err := s.eventIDs(ctx)
	if err != nil {
		return nil, err
	}
	stream := eventStream{server: s, ctx: ctx, ids: ids}
	if id := r.Params.LastEventID; id != nil {
		// An id that cannot be read stands for the zero position, which causes a resync.
		after, _ := ids.decode(*id)
		stream.after = &after
	}
	return stream, nil
}

// eventIDs returns the eventIDs of the caller.
func (s *server) eventIDs(ctx context.Context) (eventIDs, error) {
	return newEventIDs(s.tokenKeys, callerOf(ctx).id)
}

// eventStream is the response of StreamDocumentEvents. It exists only during the request, so it may
// hold the request's context.
type eventStream struct {
	server *server
	ctx    context.Context // its deadline is the expiry of the token
	ids    eventIDs
	after  *position // nil to send later changes only
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
			after: e.server.config.Timeouts.Heartbeat,
			cause: schema.Errorf(schema.CodeRateLimited,
				"%d of your requests are already waiting. End some of them and try again.",
				maxWaitersPerUser),
		}
	}
	defer notifier.remove(waiter)

	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // or nginx would buffer the events
	w.WriteHeader(http.StatusOK)
	if reason := e.send(w, waiter); reason != "" {
		// Writing sets the write deadline, within which net/http also ends the response.
		e.writeEvent(w, "end", "", EventStreamEnd{Reason: reason})
	}
	return nil
}

// send sends what waiter receives until the stream ends. It returns the reason for the end, or none
// if the client has disconnected or reads too slowly to receive it.
func (e eventStream) send(w http.ResponseWriter, waiter *waiter) EventStreamEndReason {
	// Send the current position as an id without an event, so that a client that is disconnected
	// before the first event can resume from here.
	from := e.server.notifier.start(waiter)
	if !e.write(w, fmt.Appendf(nil, "retry: 1000\nid: %s\n\n", e.ids.encode(from))) {
		return ""
	}
	heartbeat := time.NewTicker(e.server.config.Timeouts.Heartbeat)
	defer heartbeat.Stop()
	for {
		if reason, ended := e.ended(); ended {
			return reason
		}
		news := e.server.notifier.take(waiter, eventBatch)
		var reason EventStreamEndReason
		var open bool
		if news.empty() {
			reason, open = e.idle(w, waiter, heartbeat.C, news.upTo)
		} else {
			reason, open = e.sendNews(w, waiter, news)
		}
		if !open {
			return reason
		}
	}
}

// sendNews sends an event for each of the hints and changes. Like idle, it returns false if the
// stream must end, with the reason, which is none if the client does not receive it.
func (e eventStream) sendNews(
	w http.ResponseWriter, waiter *waiter, news news,
) (reason EventStreamEndReason, open bool) {
	if news.hints&removedHint != 0 && e.userRemoved(waiter, time.Now()) {
		return EventStreamEndReasonUserRemoved, false
	}
	for _, h := range news.hints.list() {
		if !e.writeEvent(w, string(h), "", struct{}{}) {
			return "", false
		}
	}
	if news.missed {
		return "", e.writeEvent(w, "resync", e.ids.encode(news.upTo), struct{}{})
	}
	if len(news.changes) == 0 {
		return "", true
	}
	text, err := e.encode(news.changes, news.upTo.created)
	if err != nil {
		return e.failed(err), false
	}
	return "", e.write(w, text)
}

// idle waits until there may be news or a reason for the end, or sends a heartbeat.
func (e eventStream) idle(
	w http.ResponseWriter, waiter *waiter, heartbeat <-chan time.Time, upTo position,
) (reason EventStreamEndReason, open bool) {
	select {
	case <-heartbeat:
		if !e.write(w, fmt.Appendf(nil, ": heartbeat\nid: %s\n\n", e.ids.encode(upTo))) {
			return "", false
		}
		if e.userRemoved(waiter, time.Now().Add(-e.server.config.Timeouts.Heartbeat/2)) {
			return EventStreamEndReasonUserRemoved, false
		}
	case <-waiter.woken:
	case <-e.server.notifier.closed:
	case <-e.ctx.Done():
	}
	return "", true
}

// ended reports whether the stream must end, and the reason, which is none if the client has
// disconnected.
func (e eventStream) ended() (reason EventStreamEndReason, ended bool) {
	select {
	case <-e.ctx.Done():
		if errors.Is(e.ctx.Err(), context.DeadlineExceeded) {
			return EventStreamEndReasonTokenExpired, true
		}
		return "", true
	case <-e.server.notifier.closed:
		return EventStreamEndReasonShutdown, true
	default:
		return "", false
	}
}

// failed returns the reason for the end of a stream whose documents cannot be read.
func (e eventStream) failed(err error) EventStreamEndReason {
	if reason, ended := e.ended(); ended {
		return reason
	}
	if schema.CodeOf(err) == schema.CodeUnauthenticated {
		return EventStreamEndReasonUserRemoved
	}
	e.server.config.Log.Warn("event stream ended because of an error",
		"user_id", callerOf(e.ctx).id, "error", err)
	return EventStreamEndReasonUnavailable
}

// userRemoved reports whether the caller's account no longer exists, according to a check that
// began at the given time or later. If the database does not respond, it reports false.
func (e eventStream) userRemoved(waiter *waiter, since time.Time) bool {
	return waiter.user.account.removedSince(since, func() bool {
		// The result is for other streams, too, so the end of this one must not cancel the check.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), accountCheckTimeout)
		defer cancel()
		_, err := e.server.userDB(e.ctx).Me(ctx)
		return schema.CodeOf(err) == schema.CodeUnauthenticated
	})
}

// catchUp waits until this process has recorded the events that the client has already received. It
// waits for Timeouts.CatchUp at most, because the stream may not have an event with the client's
// id. It fails with CodeUnavailable if the process is not following events from NATS by then.
func (e eventStream) catchUp() error {
	var after position
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
// document as it is now, which may be newer than the change. created identifies the stream.
func (e eventStream) encode(changes []change, created int64) ([]byte, error) {
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
		id := e.ids.encode(position{created, c.sequence})
		if d, exists := documents[c.document]; exists {
			err = appendEvent(&text, "document", id, d)
		} else {
			err = appendEvent(&text, "deleted", id, DeletedDocument{ID: c.document})
		}
		if err != nil {
			return nil, fmt.Errorf("encode document %s: %w", c.document, err)
		}
	}
	return text.Bytes(), nil
}

// appendEvent appends an event to text, without an id if id is empty.
func appendEvent(text *bytes.Buffer, kind, id string, data any) error {
	encoded, err := json.Marshal(data)
	if err != nil {
		return err
	}
	fmt.Fprintf(text, "event: %s\n", kind)
	if id != "" {
		fmt.Fprintf(text, "id: %s\n", id)
	}
	fmt.Fprintf(text, "data: %s\n\n", encoded)
	return nil
}

// writeEvent sends one event like write.
func (e eventStream) writeEvent(w http.ResponseWriter, kind, id string, data any) bool {
	var text bytes.Buffer
	return appendEvent(&text, kind, id, data) == nil && e.write(w, text.Bytes())
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

// tokenTTL returns how long the request's token is still valid. It does not check the token;
// authenticate does.
func (s *server) tokenTTL(h http.Header) (time.Duration, bool) {
	_, token, _ := strings.Cut(h.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	var c jwt.RegisteredClaims
	_, _, err := jwt.NewParser().ParseUnverified(token, &c)
	if err != nil || c.ExpiresAt == nil {
		return 0, false
	}
	now := s.tokens.now
	if s.issuer != nil && s.issuer.usesAlgorithmOf(token) {
		now = time.Now // the clock that authenticateWithIssuer uses
	}
	return c.ExpiresAt.Sub(now()), true
}
