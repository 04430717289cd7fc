package faults

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
)

// outcome is what a client knows about an operation on one document. The values are ordered by how
// much the client knows.
type outcome int

const (
	notDone      outcome = iota // not requested, or refused
	unknown                     // requested, but the client received no response
	acknowledged                // requested and acknowledged
)

// historyEntry is one entry in the history of a document.
type historyEntry struct {
	at   time.Time
	text string
}

// document is the history of one document as its client saw it. Only one worker writes it.
type document struct {
	id     uuid.UUID
	key    string
	user   *user
	size   int
	etag   string // of body
	url    string
	header map[string]string // headers of the PUT
	body   []byte            // what the owner uploads

	mu          sync.Mutex
	history     []historyEntry
	put         outcome
	deleted     outcome
	overwritten outcome
}

// etagOf returns the ETag that MinIO assigns to an object with this content.
func etagOf(body []byte) string {
	sum := md5.Sum(body)
	return hex.EncodeToString(sum[:])
}

// note adds an entry to the history without changing an outcome.
func (d *document) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.history = append(d.history, historyEntry{time.Now(), fmt.Sprintf(format, args...)})
}

// noteOutcome adds an entry to the history and raises one of the document's outcomes to o. An
// outcome is never lowered.
func (d *document) noteOutcome(field *outcome, o outcome, format string, args ...any) {
	d.mu.Lock()
	*field = max(*field, o)
	d.mu.Unlock()
	d.note(format, args...)
}

// outcomes are the outcomes of the operations on one document.
type outcomes struct{ put, deleted, overwritten outcome }

func (d *document) outcomes() outcomes {
	d.mu.Lock()
	defer d.mu.Unlock()
	return outcomes{d.put, d.deleted, d.overwritten}
}

// record is what the suite knows about a run: the histories of all documents, and what the faults
// destroyed.
type record struct {
	mu        sync.Mutex
	documents map[uuid.UUID]*document
	// lostEvents contains the keys whose bucket events may have been lost. That is the case if an
	// event was in a stream that was deleted before every consumer acknowledged the event, or if a PUT
	// was not acknowledged, because MinIO may then have been killed after it stored the object and
	// before it stored the event. Lost events of the stream DOCUMENTS need no such record, because the
	// sweeper publishes them again.
	lostEvents map[string]bool
	// ackFloors contains, by consumer, the sequence up to which all messages are acknowledged.
	ackFloors  map[string]uint64
	poison     map[string]poisoned // by the value of poisonHeader
	counts     map[string]int      // of the clients' operations, by description
	violations []violation         // that clients observed during the run
}

// poisoned is a message that no consumer can handle.
type poisoned struct {
	consumer  string
	data      string
	published outcome
	destroyed bool // its stream was deleted before it was acknowledged
}

func newRecord() *record {
	return &record{
		documents: map[uuid.UUID]*document{}, lostEvents: map[string]bool{},
		ackFloors: map[string]uint64{}, poison: map[string]poisoned{}, counts: map[string]int{},
	}
}

// raiseAckFloor records that a consumer has acknowledged all messages up to a sequence. It returns
// the highest sequence recorded for the consumer since the streams were last created. A consumer
// that was deleted and created again starts with a lower one.
func (r *record) raiseAckFloor(consumer string, sequence uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ackFloors[consumer] = max(r.ackFloors[consumer], sequence)
	return r.ackFloors[consumer]
}

// resetAckFloors is called after the streams have been deleted. New streams begin with sequence 1.
func (r *record) resetAckFloors() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.ackFloors)
}

// addLostEvent records that the bucket events of a key may have been lost.
func (r *record) addLostEvent(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lostEvents[key] = true
}

func (r *record) addDocument(d *document) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.documents[d.id] = d
}

// addCount counts one operation of a client.
func (r *record) addCount(operation string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[operation]++
}

func (r *record) count(operation string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[operation]
}

func (r *record) addViolation(id uuid.UUID, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations = append(r.violations, violation{id, fmt.Sprintf(format, args...)})
}

// updatePoison changes the entry of a poisoned message.
func (r *record) updatePoison(mark string, change func(*poisoned)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.poison[mark]
	change(&p)
	r.poison[mark] = p
}

// violation is an invariant that does not hold. The message begins with a description of the
// invariant; details follow after a colon.
type violation struct {
	document uuid.UUID // that violates it, or uuid.Nil
	message  string
}
