package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	// listingPause is the least time between two reads of a listing that changes
	// elsewhere than on the page that is waited for.
	listingPause = 50 * time.Millisecond
	// retryPending is when to ask again about something that is on its way.
	retryPending = 1
)

// preferredWait returns how long a request would wait: only a client that says what
// it knows can.
func preferredWait(h http.Header) time.Duration {
	if h.Get("If-None-Match") == "" {
		return 0
	}
	return parsePrefer(h.Get("Prefer"))
}

// waitOf returns how long a request with these parameters waits for a change.
func (s *server) waitOf(ifNoneMatch, prefer *string) time.Duration {
	if ifNoneMatch == nil || *ifNoneMatch == "" || prefer == nil {
		return 0
	}
	return min(parsePrefer(*prefer), s.config.Timeouts.Wait)
}

// parsePrefer returns the wait that a Prefer header asks for (RFC 7240, section 4.3),
// 0 if it asks for none. A preference that cannot be understood is none.
func parsePrefer(prefer string) time.Duration {
	for preference := range strings.SplitSeq(prefer, ",") {
		preference, _, _ = strings.Cut(preference, ";")
		name, value, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		// 9 digits: more would not fit, and no wait is that long.
		value = strings.Trim(strings.TrimSpace(value), `"`)
		n, err := strconv.ParseUint(value[:min(len(value), 9)], 10, 32)
		if err != nil {
			return 0
		}
		return time.Duration(n) * time.Second
	}
	return 0
}

// await calls read, and while it finds nothing new calls it again as soon as an event
// about what is of interest comes, until wait has passed. Between the calls it costs
// the database nothing. The client's next request makes up for a lost event.
//
// read returns the version that it read: an event of that version or an older one is
// no reason to read again. The waiter comes before the first read, so that no change
// falls between the two.
func (s *server) await(ctx context.Context, of interest, wait time.Duration,
	read func() (version int64, changed bool, err error),
) error {
	var w *waiter
	if wait > 0 {
		w = s.changes.wait(of)
	}
	if w == nil { // no wait, or too many wait already: then it is only a preference
		_, _, err := read()
		return err
	}
	defer s.changes.leave(w)
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	pause := time.Duration(0)
	for {
		version, changed, err := read()
		if err != nil || changed {
			return err
		}
		if !s.changes.next(waiting, w, version, pause) {
			return ctx.Err() // nil where only the wait is over
		}
		if of.document == uuid.Nil {
			pause = listingPause
		}
	}
}

// retryAfter is the Retry-After of an answer about something that is on its way:
// whoever has waited already may ask again at once.
func retryAfter(inTransit bool, waited time.Duration) *int {
	if !inTransit {
		return nil
	}
	after := retryPending
	if waited > 0 {
		after = 0
	}
	return &after
}
