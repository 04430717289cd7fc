package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"intray/schema"
)

// The server republishes each event of the DOCUMENTS stream after storing it, with the sequence
// number in a header. A follower therefore needs no JetStream consumer, whose state the server
// would have to keep, and no permission to create one, which would also allow it to change other
// consumers.
const (
	storedSource      = schema.SubjectsDocuments
	storedDestination = "stored.documents.{{wildcard(1)}}"
	subjectsStored    = "stored.documents.*"
	// requestRead is the subject of read requests for stored messages, without the prefix of requests
	// (https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md).
	requestRead = "DIRECT.GET." + schema.StreamDocuments
)

const (
	// followBuffer is how many received events can wait while the caller handles earlier ones. If the
	// buffer is full, later events are dropped and then read from the stream.
	followBuffer = 4096
	// maxMissed is the largest number of missed events that are read from the stream. If there are
	// more, Follow skips them, because querying the documents is faster.
	maxMissed = 100_000
	// readBatch is how many events one request reads, and readTimeout how long reading all missed
	// events may take.
	readBatch   = 500
	readTimeout = 5 * time.Second
	// followRetry is the wait after a read that failed while connected.
	followRetry = 500 * time.Millisecond
)

// Follow calls handle with each event of the DOCUMENTS stream and its sequence number, once per
// event and in stream order. It starts with the newest stored events, at most history of them, and
// continues with new ones until ctx is done. It skips messages that it cannot decode.
//
// Follow calls reset before the first event, and again whenever it skips events because there are
// too many, because they were deleted, or because the stream was deleted and created again. The
// arguments of reset are the time at which the stream was created, which identifies the stream, and
// the sequence number after which Follow continues.
//
// While NATS is unreachable, Follow waits. After reconnecting it delivers the events that were
// stored in the meantime. Follow makes one call at a time and waits for it to return. It returns
// nil when ctx is done, and ErrUnavailable when the connection is closed.
func (c *Conn) Follow(
	ctx context.Context,
	history uint64,
	handle func(sequence uint64, e schema.DocumentEvent),
	reset func(created time.Time, after uint64),
) error {
	messages := make(chan *natsgo.Msg, followBuffer)
	sub, err := c.core.ChanSubscribe(subjectsStored, messages)
	if err != nil {
		return fmt.Errorf("follow documents: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	connected := c.core.StatusChanged(natsgo.CONNECTED)
	defer c.core.RemoveStatusListener(connected)

	f := &follower{conn: c, history: min(history, maxMissed), handle: handle, reset: reset}
	catchUp := time.NewTimer(0) // the first catch-up starts immediately
	defer catchUp.Stop()
	dropped := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-connected:
			if !open {
				return fmt.Errorf("follow documents: %w: connection closed", ErrUnavailable)
			}
			catchUp.Reset(0)
		case <-catchUp.C:
			if f.catchUp(ctx) != nil && c.Connected() {
				catchUp.Reset(followRetry)
			}
		case m := <-messages:
			// If messages were dropped, a sequence number that fits may be that of another stream.
			if n, err := sub.Dropped(); err == nil && n != dropped {
				dropped = n
				catchUp.Reset(0)
			} else if !f.next(m) {
				catchUp.Reset(0)
			}
		}
	}
}

// follower is the state of one call to Follow.
type follower struct {
	conn    *Conn
	history uint64
	handle  func(uint64, schema.DocumentEvent)
	reset   func(time.Time, uint64)
	started bool
	created time.Time // when the stream was created
	last    uint64    // the sequence number of the last event that was handled
	lastAt  string    // the time at which that event was stored
}

// next handles an event that was just stored. It returns false if earlier events are missing, so
// that the follower must catch up.
func (f *follower) next(m *natsgo.Msg) bool {
	sequence, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	switch at := m.Header.Get("Nats-Time-Stamp"); {
	case err != nil:
		return true
	case !f.started:
		return false
	case sequence <= f.last:
		// The event was handled already, unless it was stored later than the last one. In that case
		// the stream was deleted and created again.
		return !newer(at, f.lastAt)
	case sequence == f.last+1:
		f.deliver(sequence, m)
		return true
	default:
		return false
	}
}

// newer reports whether time a, in RFC 3339 format, is after time b.
func newer(a, b string) bool {
	at, err := time.Parse(time.RFC3339Nano, a)
	other, otherErr := time.Parse(time.RFC3339Nano, b)
	return err == nil && otherErr == nil && at.After(other)
}

// deliver passes the event in m to the caller of Follow. It drops a message that it cannot decode.
func (f *follower) deliver(sequence uint64, m *natsgo.Msg) {
	f.last, f.lastAt = sequence, m.Header.Get("Nats-Time-Stamp")
	if e, err := schema.DecodeDocumentEvent(m.Data); err == nil {
		f.handle(sequence, e)
	}
}

// catchUp reads and handles the events that the stream stores after the last handled one.
func (f *follower) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if !f.conn.Connected() {
		return fmt.Errorf("read document events: %w", ErrUnavailable)
	}
	stream, err := f.conn.js.Stream(ctx, schema.StreamDocuments)
	if err != nil {
		return fmt.Errorf("read document events: %w", unavailable(err))
	}
	state, created := stream.CachedInfo().State, schema.StoredTime(stream.CachedInfo().Created)
	switch {
	case !f.started:
		f.skip(created, state.LastSeq-min(state.LastSeq, f.history), state.FirstSeq)
	case !created.Equal(f.created), f.last > state.LastSeq, f.last+1 < state.FirstSeq,
		state.LastSeq-f.last > maxMissed:
		f.skip(created, state.LastSeq, state.FirstSeq)
	}
	for f.last < state.LastSeq {
		messages, err := f.conn.read(ctx, f.last+1)
		if err != nil {
			return err
		}
		for _, m := range messages {
			header := m.Header.Get("Nats-Sequence")
			sequence, err := strconv.ParseUint(header, 10, 64)
			if err != nil || sequence <= f.last {
				return fmt.Errorf("read document events: message with sequence %q after %d",
					header, f.last)
			}
			f.deliver(sequence, m)
		}
		if len(messages) == 0 { // the remaining messages were deleted
			f.last = state.LastSeq
		}
	}
	return nil
}

// skip makes the follower continue at sequence number after+1, or at the stream's first message if
// that is later.
func (f *follower) skip(created time.Time, after, first uint64) {
	if first > 0 {
		after = max(after, first-1)
	}
	f.started, f.created, f.last, f.lastAt = true, created, after, ""
	f.reset(created, after)
}

// read returns up to readBatch stored messages, starting at sequence number from. It returns none
// if there are none.
func (c *Conn) read(ctx context.Context, from uint64) ([]*natsgo.Msg, error) {
	request, err := json.Marshal(map[string]uint64{"seq": from, "batch": readBatch})
	if err != nil {
		return nil, fmt.Errorf("read document events: %w", err)
	}
	inbox := c.core.NewInbox()
	sub, err := c.core.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("read document events: %w", unavailable(err))
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := c.core.PublishRequest(c.apiPrefix+requestRead, inbox, request); err != nil {
		return nil, fmt.Errorf("read document events: %w", unavailable(err))
	}
	var messages []*natsgo.Msg
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, fmt.Errorf("read document events: %w", errors.Join(ErrUnavailable, err))
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			messages = append(messages, m)
		case "204", "404": // end of the batch; no message found
			return messages, nil
		default:
			return nil, fmt.Errorf("read document events: %w: status %s", ErrUnavailable, status)
		}
	}
}
