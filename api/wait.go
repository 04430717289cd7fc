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
	// listingPause is the minimum time between two reads of a listing. A request that waits for a
	// change of one page is also woken by changes of documents that are not on the page.
	listingPause = 50 * time.Millisecond
	// pendingRetryAfter is the Retry-After, in seconds, of a response with a document whose status
	// is about to change.
	pendingRetryAfter = 1
)

// preferredWait returns how long a request asks to wait. It is 0 without If-None-Match, because
// then the server does not know which version the client has.
func preferredWait(h http.Header) time.Duration {
	if h.Get("If-None-Match") == "" {
		return 0
	}
	return parsePrefer(h.Get("Prefer"))
}

// waitTime returns how long a request with these headers waits for a change.
func (s *server) waitTime(ifNoneMatch, prefer *string) time.Duration {
	if ifNoneMatch == nil || *ifNoneMatch == "" || prefer == nil {
		return 0
	}
	return min(parsePrefer(*prefer), s.config.Timeouts.Wait)
}

// parsePrefer returns the wait that a Prefer header asks for (RFC 7240, section 4.3). It returns 0
// if the header asks for no wait or is malformed.
func parsePrefer(prefer string) time.Duration {
	for preference := range strings.SplitSeq(prefer, ",") {
		preference, _, _ = strings.Cut(preference, ";")
		name, value, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		// More than 9 digits would overflow, and no wait is that long.
		value = strings.Trim(strings.TrimSpace(value), `"`)
		n, err := strconv.ParseUint(value[:min(len(value), 9)], 10, 32)
		if err != nil {
			return 0
		}
		return time.Duration(n) * time.Second
	}
	return 0
}

// await calls read until it reports a change or wait has passed. After the first call it calls read
// only when there is an event for key, so that waiting does not load the database. If an event is
// lost, the client learns of the change from its next request.
//
// read returns the version that it read. await does not call read again for an event with that
// version or an older one. await subscribes to events before the first call of read, so that it
// misses no change between the two.
func (s *server) await(
	ctx context.Context, key waitKey, wait time.Duration,
	read func() (version int64, changed bool, err error),
) error {
	var w *waiter
	if wait > 0 {
		w = s.notifier.addWaiter(key)
	}
	if w == nil { // the client does not ask to wait, or has too many waiting requests
		_, _, err := read()
		return err
	}
	defer s.notifier.remove(w)
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	pause := time.Duration(0)
	for {
		version, changed, err := read()
		if err != nil || changed {
			return err
		}
		if !s.notifier.wait(waiting, w, version, pause) {
			return ctx.Err() // nil if only waiting has ended
		}
		if key.document == uuid.Nil {
			pause = listingPause
		}
	}
}

// retryAfter returns the Retry-After of a response, or nil if it has none. It has one only if a
// document's status is about to change. It is 0 after a request that waited, because the next
// request can wait too.
func retryAfter(inProgress bool, waited time.Duration) *int {
	if !inProgress {
		return nil
	}
	after := pendingRetryAfter
	if waited > 0 {
		after = 0
	}
	return &after
}
