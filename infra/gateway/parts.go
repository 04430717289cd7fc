package gateway

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// maxPartSends is how many times the bytes of one part may be sent. MinIO keeps the bytes of a
	// part that was replaced for minutes, and those of a part whose transfer failed for a day.
	maxPartSends = 3
	// maxCountedParts is the number of parts whose bytes are counted. Beyond it, the parts that were
	// sent longest ago are forgotten.
	maxCountedParts = 100_000
)

// partBytes counts the bytes that clients have sent for the parts of multipart uploads. It counts
// bytes instead of requests, so that a client whose connection fails early can retry more often.
type partBytes struct {
	mu   sync.Mutex
	sent *simplelru.LRU[partID, int64]
}

// partID identifies a part of a multipart upload.
type partID struct{ upload, number string }

func newPartBytes() *partBytes {
	sent, _ := simplelru.NewLRU[partID, int64](maxCountedParts, nil) // fails only for sizes below 1
	return &partBytes{sent: sent}
}

// partOf returns the part that a request, which check has accepted, uploads. It returns false if
// the request does not upload a part.
func partOf(r *http.Request) (partID, bool) {
	if r.Method != http.MethodPut {
		return partID{}, false
	}
	query := r.URL.Query()
	part := partID{upload: query.Get(paramUploadID), number: query.Get(paramPartNumber)}
	return part, part.upload != ""
}

// reserve counts the bytes of a part that the request is about to send. It refuses the request if
// the bytes sent for the part would exceed maxPartSends times its size. It does nothing if the
// request does not upload a part.
func (p *partBytes) reserve(r *http.Request) *refusal {
	part, ok := partOf(r)
	if !ok {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	sent, _ := p.sent.Get(part)
	if sent > (maxPartSends-1)*r.ContentLength {
		return &refusal{http.StatusConflict, "PartSentTooOften", fmt.Sprintf(
			"This part was sent %d times, or is being sent. If storage does not list it, "+
				"cancel the upload and begin a new one.", maxPartSends)}
	}
	p.sent.Add(part, sent+r.ContentLength)
	return nil
}

// giveBack subtracts bytes that reserve has counted and that were not sent.
func (p *partBytes) giveBack(r *http.Request, unsent int64) {
	part, ok := partOf(r)
	if !ok || unsent == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	sent, counted := p.sent.Peek(part)
	switch {
	case !counted:
	case sent <= unsent:
		p.sent.Remove(part)
	default:
		p.sent.Add(part, sent-unsent)
	}
}
