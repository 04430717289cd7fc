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

// The stream DOCUMENTS sends each event on once it is stored, with its sequence
// in a header. So a follower needs neither a consumer, of which the server would
// keep the state, nor the right to make one, which is the right to change others'.
const (
	storedSource      = schema.SubjectsDocuments
	storedDestination = "stored.documents.{{wildcard(1)}}"
	subjectsStored    = "stored.documents.*"
	// subjectRead answers with stored messages and changes nothing
	// (https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md).
	subjectRead = "$JS.API.DIRECT.GET." + schema.StreamDocuments
)

const (
	// followBuffer is how many events may wait for Follow's caller. What comes
	// while it is full is read from the stream afterwards.
	followBuffer = 4096
	// maxMissed is how many missed events are read again at most. Reading more
	// takes longer than looking at the documents.
	maxMissed = 100_000
	// readBatch is how many events are asked for at once, readTimeout how long
	// they may take.
	readBatch   = 500
	readTimeout = 5 * time.Second
	// followRetry is the wait after a read that failed while connected.
	followRetry = 500 * time.Millisecond
)

// Follow calls each with the events of the stream DOCUMENTS and their sequences,
// in the stream's order and each once: first the last history of those that are
// stored, then what comes, until ctx ends. Before the first, and wherever some are
// skipped because they are too many or gone, it calls reset with the sequence
// after which it goes on. Undecodable messages are left out.
//
// While NATS is away nothing is called; what was stored meanwhile follows when it
// is back. The calls come one at a time and hold Follow up. It returns nil when ctx
// ends, and ErrUnavailable when the connection was closed.
func (c *Conn) Follow(ctx context.Context, history uint64, each func(sequence uint64, e schema.DocumentEvent), reset func(after uint64)) error {
	messages := make(chan *natsgo.Msg, followBuffer)
	sub, err := c.core.ChanSubscribe(subjectsStored, messages)
	if err != nil {
		return fmt.Errorf("follow documents: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	connected := c.core.StatusChanged(natsgo.CONNECTED)
	defer c.core.RemoveStatusListener(connected)

	f := &follower{conn: c, history: min(history, maxMissed), each: each, reset: reset}
	again := time.NewTimer(0) // the first catching up
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-connected:
			if !open {
				return fmt.Errorf("follow documents: %w: connection closed", ErrUnavailable)
			}
			again.Reset(0)
		case <-again.C:
			if f.catchUp(ctx) != nil && c.Connected() {
				again.Reset(followRetry)
			}
		case m := <-messages:
			if !f.next(m) {
				again.Reset(0)
			}
		}
	}
}

// follower is where a Follow stands.
type follower struct {
	conn    *Conn
	history uint64
	each    func(uint64, schema.DocumentEvent)
	reset   func(uint64)
	begun   bool
	last    uint64 // the sequence that was called last
	lastAt  string // when that was stored
}

// next takes an event as it is stored. It returns false if others are missing
// before it.
func (f *follower) next(m *natsgo.Msg) bool {
	sequence, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	switch at := m.Header.Get("Nats-Time-Stamp"); {
	case err != nil:
		return true
	case !f.begun:
		return false
	case sequence <= f.last:
		// Read already, unless it is newer: then the stream was made anew.
		return !newer(at, f.lastAt)
	case sequence == f.last+1:
		f.call(sequence, m)
		return true
	default:
		return false
	}
}

func newer(a, b string) bool {
	at, err := time.Parse(time.RFC3339Nano, a)
	other, otherErr := time.Parse(time.RFC3339Nano, b)
	return err == nil && otherErr == nil && at.After(other)
}

func (f *follower) call(sequence uint64, m *natsgo.Msg) {
	f.last, f.lastAt = sequence, m.Header.Get("Nats-Time-Stamp")
	if e, err := schema.DecodeDocumentEvent(m.Data); err == nil {
		f.each(sequence, e)
	}
}

// catchUp reads what the stream holds after the last event.
func (f *follower) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if !f.conn.Connected() {
		return fmt.Errorf("read documents' events: %w", ErrUnavailable)
	}
	stream, err := f.conn.js.Stream(ctx, schema.StreamDocuments)
	if err != nil {
		return fmt.Errorf("read documents' events: %w", unavailable(err))
	}
	state := stream.CachedInfo().State
	switch {
	case !f.begun:
		f.skip(state.LastSeq-min(state.LastSeq, f.history), state.FirstSeq)
	case f.last > state.LastSeq, f.last+1 < state.FirstSeq, state.LastSeq-f.last > maxMissed:
		f.skip(state.LastSeq, state.FirstSeq)
	}
	for f.last < state.LastSeq {
		messages, err := f.conn.read(ctx, f.last+1)
		if err != nil {
			return err
		}
		for _, m := range messages {
			sequence, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
			if err != nil || sequence <= f.last {
				return fmt.Errorf("read documents' events: message with sequence %q after %d", m.Header.Get("Nats-Sequence"), f.last)
			}
			f.call(sequence, m)
		}
		if len(messages) == 0 { // what lies between was deleted
			f.last = state.LastSeq
		}
	}
	return nil
}

// skip goes on after the sequence, or where the stream begins.
func (f *follower) skip(after, first uint64) {
	if first > 0 {
		after = max(after, first-1)
	}
	f.begun, f.last, f.lastAt = true, after, ""
	f.reset(after)
}

// read returns stored messages from the sequence on, none where there are none.
func (c *Conn) read(ctx context.Context, from uint64) ([]*natsgo.Msg, error) {
	request, err := json.Marshal(map[string]uint64{"seq": from, "batch": readBatch})
	if err != nil {
		return nil, fmt.Errorf("read documents' events: %w", err)
	}
	inbox := c.core.NewInbox()
	sub, err := c.core.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("read documents' events: %w", unavailable(err))
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := c.core.PublishRequest(subjectRead, inbox, request); err != nil {
		return nil, fmt.Errorf("read documents' events: %w", unavailable(err))
	}
	var messages []*natsgo.Msg
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, fmt.Errorf("read documents' events: %w", errors.Join(ErrUnavailable, err))
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			messages = append(messages, m)
		case "204", "404": // the end of the batch; nothing there
			return messages, nil
		default:
			return nil, fmt.Errorf("read documents' events: %w: status %s", ErrUnavailable, status)
		}
	}
}
