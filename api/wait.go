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
	// maxWait is the longest that an answer is held back for a change. Proxies
	// commonly cut after 60 s.
	maxWait = 30 * time.Second
	// listingPause is the least between two looks at a listing that changes
	// elsewhere than on the page that is waited for.
	listingPause = 50 * time.Millisecond
	// retryPending is when to ask again about something that is on its way.
	retryPending = 1
)

// preferredWait is what a Prefer header asks for (RFC 7240, section 4.3), at most
// maxWait, and 0 if it asks for nothing. A preference that cannot be understood
// is none.
func preferredWait(prefer string) time.Duration {
	for preference := range strings.SplitSeq(prefer, ",") {
		preference, _, _ = strings.Cut(preference, ";")
		name, value, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		// 9 digits: what is longer would wait as long, and not fit.
		value = strings.Trim(strings.TrimSpace(value), `"`)
		n, err := strconv.ParseUint(value[:min(len(value), 9)], 10, 32)
		if err != nil {
			return 0
		}
		return min(time.Duration(n)*time.Second, maxWait)
	}
	return 0
}

// waitOf is how long a request may be held back: only for a client that says
// what it knows.
func waitOf(h http.Header) time.Duration {
	if h.Get("If-None-Match") == "" {
		return 0
	}
	return preferredWait(h.Get("Prefer"))
}

// waitParams is waitOf of a request's parameters.
func waitParams(ifNoneMatch, prefer *string) time.Duration {
	if ifNoneMatch == nil || *ifNoneMatch == "" || prefer == nil {
		return 0
	}
	return preferredWait(*prefer)
}

// await calls look, and while look finds nothing new calls it again as soon as an
// event tells of what is of interest, until wait has passed. Between the calls
// it costs the database nothing. An event that is lost is made up for by the
// client's next request.
//
// look returns the version that it saw: an event of that version or an older one
// is no reason to look again. The waiter comes before the first look, so that no
// change falls between the two.
func (s *server) await(ctx context.Context, of interest, wait time.Duration, look func() (seen int64, changed bool, err error)) error {
	if wait <= 0 {
		_, _, err := look()
		return err
	}
	w := s.changes.wait(of)
	if w == nil { // too many wait already: answered at once, as without a preference
		_, _, err := look()
		return err
	}
	defer s.changes.leave(w)
	end := time.NewTimer(wait)
	defer end.Stop()
	for woken := false; ; woken = true {
		seen, changed, err := look()
		if err != nil || changed {
			return err
		}
		var pause <-chan time.Time
		wake := w.wake
		if woken && of.document == uuid.Nil {
			pause, wake = time.After(listingPause), nil
		}
		for again := false; !again; {
			select {
			case <-pause:
				pause, wake = nil, w.wake
			case <-wake:
				again = s.changes.newest(w) > seen
			case <-end.C:
				return nil
			case <-s.changes.ended:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// retryAfter is the Retry-After of an answer about something that is on its way:
// whoever has waited already may ask again at once.
func retryAfter(unsettled bool, waited time.Duration) *int {
	if !unsettled {
		return nil
	}
	after := retryPending
	if waited > 0 {
		after = 0
	}
	return &after
}
