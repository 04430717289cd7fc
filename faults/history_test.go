package faults

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
)

// outcome is what a client knows of something it asked for.
type outcome int

const (
	never   outcome = iota // it did not ask, or was refused
	perhaps                // no answer came
	surely                 // it was acknowledged
)

// moment is one line of a client's history.
type moment struct {
	at   time.Time
	what string
}

// document is one document's history as its client saw it. One worker writes it.
type document struct {
	id   uuid.UUID
	key  string
	user *user
	size int
	etag string // of what its owner put
	url  string
	head map[string]string // the headers of the PUT
	body []byte

	mu          sync.Mutex
	history     []moment
	put         outcome
	deleted     outcome
	overwritten outcome
	stray       outcome // put once more after its deletion
}

func etagOf(body []byte) string {
	sum := md5.Sum(body) // what MinIO makes ETags of
	return hex.EncodeToString(sum[:])
}

// note writes down what happened, and in field what is known after it.
func (d *document) note(field *outcome, o outcome, format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if field != nil {
		*field = max(*field, o)
	}
	d.history = append(d.history, moment{time.Now(), fmt.Sprintf(format, args...)})
}

// facts are the outcomes of a document.
type facts struct{ put, deleted, overwritten, stray outcome }

func (d *document) facts() facts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return facts{d.put, d.deleted, d.overwritten, d.stray}
}

// record holds every client's documents, and what faults destroyed.
type record struct {
	mu        sync.Mutex
	documents map[uuid.UUID]*document
	// unheard are the keys of which nobody may hear any more: a bucket event was in
	// a stream when that was deleted, not yet acknowledged by every consumer; or a PUT
	// was not acknowledged, so that MinIO may have been killed between the object and
	// its event. Documents' own events may be lost too: the sweeper tells them again.
	unheard map[string]bool
	floors  map[string]uint64 // what each consumer has acknowledged, up to which sequence
	poison  map[string]poisoned
	counts  map[string]int // of what clients did
	wrong   []violation    // seen by clients on the way
}

// poisoned is a message that no consumer can bear.
type poisoned struct {
	consumer  string
	what      string
	stored    outcome
	destroyed bool
}

func newRecord() *record {
	return &record{
		documents: map[uuid.UUID]*document{}, unheard: map[string]bool{}, floors: map[string]uint64{},
		poison: map[string]poisoned{}, counts: map[string]int{},
	}
}

// raise notes up to where a consumer has acknowledged, and returns the furthest
// it ever did in its present stream.
func (r *record) raise(consumer string, sequence uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.floors[consumer] = max(r.floors[consumer], sequence)
	return r.floors[consumer]
}

// lower forgets it: the streams begin anew.
func (r *record) lower() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.floors)
}

// unanswered notes that a PUT to the key was not acknowledged.
func (r *record) unanswered(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unheard[key] = true
}

func (r *record) add(d *document) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.documents[d.id] = d
}

func (r *record) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[what]++
}

func (r *record) counted(what string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[what]
}

func (r *record) violated(id uuid.UUID, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = append(r.wrong, violation{id, fmt.Sprintf(format, args...)})
}

func (r *record) poisons(mark string, change func(*poisoned)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.poison[mark]
	change(&p)
	r.poison[mark] = p
}

// violation is a sentence that does not hold, and the document that shows it.
type violation struct {
	document uuid.UUID
	sentence string
}
