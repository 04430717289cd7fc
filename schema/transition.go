package schema

import (
	"time"

	"github.com/google/uuid"
)

// ExpireAfter is how long after its last upload URL was issued a pending
// document without an object expires. URLs live for 15 minutes and a PUT for
// at most 30, so nothing can still be on its way by then.
const ExpireAfter = time.Hour

// Decision is what one transition asks of the transaction that carries it
// out, beside the changed document and quota themselves.
type Decision struct {
	// Changed: the document was changed, its version raised, and its event
	// must be published.
	Changed bool
	// DeleteObject: the object at the document's key was given up and must be
	// recorded as an object deletion in the same transaction. It may be asked
	// for again when an object turns up at a key that was given up before.
	DeleteObject bool
	// Topics replaces the document's topics if it is not nil.
	Topics []DocumentTopic
}

// Confirm decides what the object found at the document's key makes of it:
// a pending or expired document becomes uploaded and is charged to the quota,
// or rejected; a counted one whose content is not what was confirmed is
// quarantined; an object at a key that was given up is to be deleted again.
// Confirming twice changes nothing.
func (d *Document) Confirm(o Object, q *Quota, now time.Time) Decision {
	switch {
	case d.Status == StatusPending || d.Status == StatusExpired:
		return d.accept(o, q, now)
	case d.Status.Counted():
		return d.verify(o, q, now)
	case d.Status == StatusRejected || d.Status == StatusDeleting:
		return Decision{DeleteObject: true}
	default:
		return Decision{}
	}
}

func (d *Document) accept(o Object, q *Quota, now time.Time) Decision {
	if o.Size != d.Size {
		return d.reject(ReasonSizeMismatch, now)
	}
	if !q.Fits(o.Size) {
		return d.reject(ReasonQuotaExceeded, now)
	}
	q.UsedBytes += o.Size
	d.ChargedBytes = o.Size
	d.ETag = o.ETag
	d.UploadedAt = &now
	return d.change(StatusUploaded, ReasonNone, now)
}

// verify holds an object against the confirmed content. A document from before
// ETags were kept adopts the one found.
func (d *Document) verify(o Object, q *Quota, now time.Time) Decision {
	if o.Size == d.Size && d.ETag == "" {
		d.ETag = o.ETag
		return d.change(d.Status, d.Reason, now)
	}
	if o.Size == d.Size && o.ETag == d.ETag {
		return Decision{}
	}
	return d.Quarantine(q, now)
}

func (d *Document) reject(r Reason, now time.Time) Decision {
	dec := d.change(StatusRejected, r, now)
	dec.DeleteObject = true
	return dec
}

// Classified ends the classification of an uploaded document with the topics
// found, none included. Topics that a person set stay as they are. In any
// other status nothing changes.
func (d *Document) Classified(topics []DocumentTopic, provider, model string, now time.Time) Decision {
	if d.Status != StatusUploaded {
		return Decision{}
	}
	d.Provider, d.Model = provider, model
	d.ClassifiedAt = &now
	dec := d.change(StatusClassified, ReasonNone, now)
	if !d.TopicsLocked {
		dec.Topics = append([]DocumentTopic{}, topics...)
	}
	return dec
}

// Fail ends the classification of an uploaded document without an answer. In
// any other status nothing changes.
func (d *Document) Fail(r Reason, now time.Time) Decision {
	if d.Status != StatusUploaded {
		return Decision{}
	}
	return d.change(StatusFailed, r, now)
}

// SetTopics gives a counted document the topics that its owner chose, each with
// full confidence, and locks them: no classification takes them away. In any
// other status nothing changes.
func (d *Document) SetTopics(ids []uuid.UUID, now time.Time) Decision {
	if !d.Status.Counted() {
		return Decision{}
	}
	d.TopicsLocked = true
	dec := d.change(d.Status, d.Reason, now)
	dec.Topics = make([]DocumentTopic, len(ids))
	for i, id := range ids {
		dec.Topics[i] = DocumentTopic{TopicID: id, Confidence: 100}
	}
	return dec
}

// Reclassify sends a counted document back to be classified once more. Until
// that has ended it keeps the topics it has. In any other status nothing
// changes.
func (d *Document) Reclassify(now time.Time) Decision {
	if !d.Status.Counted() {
		return Decision{}
	}
	d.Provider, d.Model = "", ""
	d.ClassifiedAt = nil
	return d.change(StatusUploaded, ReasonNone, now)
}

// Quarantine takes a counted document, whose object is not what was confirmed,
// out of use and gives its charge back. The object is kept.
func (d *Document) Quarantine(q *Quota, now time.Time) Decision {
	if !d.Status.Counted() {
		return Decision{}
	}
	d.release(q)
	return d.change(StatusQuarantined, ReasonContentChange, now)
}

// Expire ends a pending document whose last URL was issued ExpireAfter ago.
// The caller has proved by a HEAD that there is no object.
func (d *Document) Expire(now time.Time) Decision {
	if d.Status != StatusPending || now.Before(d.URLIssuedAt.Add(ExpireAfter)) {
		return Decision{}
	}
	return d.change(StatusExpired, ReasonNone, now)
}

// Delete gives the document and its object up at its owner's wish. The charge
// is given back by Gone, when the object is gone.
func (d *Document) Delete(now time.Time) Decision {
	if d.Status == StatusDeleting {
		return Decision{}
	}
	dec := d.change(StatusDeleting, ReasonNone, now)
	dec.DeleteObject = true
	return dec
}

// Gone ends a deleting or counted document whose object is proved to be gone
// and gives its charge back. Documents in other statuses stay as they are.
func (d *Document) Gone(q *Quota, now time.Time) Decision {
	if d.GoneAt != nil || (d.Status != StatusDeleting && !d.Status.Counted()) {
		return Decision{}
	}
	d.release(q)
	d.GoneAt = &now
	return d.change(StatusDeleting, ReasonNone, now)
}

// MarkUnpublished asks for the document's present version to be published again,
// under a new message id.
func (d *Document) MarkUnpublished(now time.Time) {
	d.Announcement++
	d.UnpublishedAt = &now
}

func (d *Document) release(q *Quota) {
	q.UsedBytes -= d.ChargedBytes
	d.ChargedBytes = 0
}

func (d *Document) change(to Status, r Reason, now time.Time) Decision {
	d.Status, d.Reason = to, r
	d.Version++
	d.Announcement = 0
	d.UnpublishedAt = &now
	d.ChangedAt = now
	return Decision{Changed: true}
}
