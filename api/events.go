package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"intray/schema"
)

// eventsPath is the route of the event stream, the only one whose response has no fixed end.
const eventsPath = "/api/documents/events"

const (
	// eventWriteTimeout is how long the client may take to receive one write.
	eventWriteTimeout = 10 * time.Second
	// eventBatch is the maximum number of documents that are read and sent together.
	eventBatch = 50
	// streamsWithoutPause is the number of a user's streams up to which a stream does not pause
	// between two writes. Above it, each stream of the user adds pauseOfEachStream to the pause, so
	// that all of them together write 1,000 times a second at most.
	streamsWithoutPause = 10
	pauseOfEachStream   = time.Millisecond
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
			cause: schema.Errorf(schema.CodeRateLimited, "you already have %d event streams, or %d "+
				"waiting requests; end some of them and try again", maxStreamsPerUser, maxWaitersPerUser),
		}
	}
	defer notifier.remove(waiter)

	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // or nginx would buffer the events
	w.WriteHeader(http.StatusOK)
	if reason := e.send(w, waiter); reason != "" {
		// Writing sets the write deadline, within which net/http also ends the response.
		var text bytes.Buffer
		appendEvent(&text, "end", "", fmt.Appendf(nil, `{"reason":%q}`, reason))
		e.write(w, text.Bytes())
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
	var text bytes.Buffer
	for _, h := range news.hints.list() {
		appendEvent(&text, string(h), "", []byte("{}"))
	}
	if news.missed {
		appendEvent(&text, "resync", e.ids.encode(news.upTo), []byte("{}"))
	} else if len(news.changes) > 0 {
		if err := e.appendChanges(&text, waiter, news.changes, news.upTo.created); err != nil {
			e.write(w, text.Bytes())
			return e.failed(err), false
		}
	}
	if text.Len() > 0 && !e.write(w, text.Bytes()) {
		return "", false
	}
	e.pause(waiter)
	return "", true
}

// pause waits before the next write, longer the more streams the user has, so that a change of a
// user with many streams does not take the processors from other users. What happens in the
// meantime is sent together.
func (e eventStream) pause(waiter *waiter) {
	streams := e.server.notifier.streamsOf(waiter)
	if streams <= streamsWithoutPause {
		return
	}
	timer := time.NewTimer(time.Duration(streams) * pauseOfEachStream)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.server.notifier.closed:
	case <-e.ctx.Done():
	}
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

// appendChanges appends an event for each of the changes, in the same order. The data of an event
// is the document as it is now, which may be newer than the change. created identifies the stream.
func (e eventStream) appendChanges(
	text *bytes.Buffer, waiter *waiter, changes []change, created int64,
) error {
	documents, err := e.documents(waiter, changes)
	if err != nil {
		return err
	}
	for _, c := range changes {
		id := e.ids.encode(position{created, c.sequence})
		if data, exists := documents[c.document]; exists {
			appendEvent(text, "document", id, data)
		} else {
			appendEvent(text, "deleted", id, fmt.Appendf(nil, `{"id":"%s"}`, c.document))
		}
	}
	return nil
}

// appendEvent appends an event to text, without an id if id is empty. data is JSON without line
// breaks.
func appendEvent(text *bytes.Buffer, kind, id string, data []byte) {
	fmt.Fprintf(text, "event: %s\n", kind)
	if id != "" {
		fmt.Fprintf(text, "id: %s\n", id)
	}
	fmt.Fprintf(text, "data: %s\n\n", data)
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
