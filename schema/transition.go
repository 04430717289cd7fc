package schema

import (
	"time"

	"github.com/google/uuid"
)

// ExpireAfter is the time after which a pending document without an object expires. It starts when
// the document's last upload URL is issued. A URL is valid for 15 minutes and a PUT takes at most
// 30, so by then no upload can be in progress.
const ExpireAfter = time.Hour

// Decision is the result of a transition. A transition that takes a Quota may change it, and is
// executed while the quota is locked; the others never change what the document is charged. The
// transaction that executes the transition writes the changed document and quota, and what the
// Decision asks for.
type Decision struct {
	// Changed reports whether the document was changed and its version increased. If so, its event
	// must be published.
	Changed bool
	// Renewed reports whether only the time of the last upload URL was changed. The version stays the
	// same, and no event is published.
	Renewed bool
	// DeleteObject reports whether the object at the document's key is marked for deletion. If so,
	// the transaction records an object deletion. It is also set when an object is found at a key
	// whose object was marked for deletion before.
	DeleteObject bool
	// Topics, if not nil, replaces the topics of the document, and removes its explanation.
	Topics []DocumentTopic
	// Explanation, if Topics is not nil and it is not empty, is the encoded Explanation of these
	// topics.
	Explanation []byte
	// Example, if not empty, replaces the example of the document, from which a provider learns.
	Example []byte
}

// Confirm applies the stat result o to the document:
//   - A pending or expired document becomes uploaded and is charged to the quota. It becomes
//     rejected if the size is not the declared one or exceeds the remaining quota.
//   - A counted document becomes quarantined if the object is not the one that was confirmed.
//   - If the document is rejected or deleting, the object is marked for deletion again.
//
// A second call with the same object changes nothing.
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
	if !d.Multipart { // storage has verified the digest of a single PUT
		d.SHA256 = d.DeclaredSHA256
	}
	d.UploadedAt = &now
	return d.change(StatusUploaded, ReasonNone, now)
}

// verify compares an object with the confirmed one. A document without an ETag was confirmed before
// ETags were stored; verify then sets its ETag to that of the object.
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

// Classify sets the topics of an uploaded document, possibly none, and marks it as classified.
// Topics that the user set manually are kept. In any other status Classify changes nothing.
func (d *Document) Classify(
	topics []DocumentTopic, provider, model string, now time.Time,
) Decision {
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

// Fail marks an uploaded document as failed, because it cannot be classified for the reason r. In
// any other status Fail changes nothing.
func (d *Document) Fail(r Reason, now time.Time) Decision {
	if d.Status != StatusUploaded {
		return Decision{}
	}
	return d.change(StatusFailed, r, now)
}

// An Edit is what the owner of a document changes. A field that is nil changes nothing.
type Edit struct {
	Filename *string
	// Topics are all topics that the document is to have, possibly none.
	Topics *[]uuid.UUID
}

// Edit changes a counted document as its owner asked. Topics that the owner chose have a confidence
// of 100 and are locked, so that classification does not change them. In any other status, or if
// the only change is the name that the document has, Edit changes nothing.
func (d *Document) Edit(e Edit, now time.Time) Decision {
	renamed := e.Filename != nil && *e.Filename != d.Filename
	if !d.Status.Counted() || (!renamed && e.Topics == nil) {
		return Decision{}
	}
	dec := d.change(d.Status, d.Reason, now)
	if renamed {
		if d.IdempotencyKey != nil && d.RequestedFilename == nil {
			d.RequestedFilename = new(d.Filename)
		}
		d.Filename = *e.Filename
	}
	if e.Topics != nil {
		d.TopicsLocked = true
		dec.Topics = make([]DocumentTopic, len(*e.Topics))
		for i, id := range *e.Topics {
			dec.Topics[i] = DocumentTopic{TopicID: id, Confidence: 100}
		}
	}
	return dec
}

// Reclassify moves a counted document back to the status uploaded, so that it is classified again.
// It keeps its topics until then. In any other status Reclassify changes nothing.
func (d *Document) Reclassify(now time.Time) Decision {
	if !d.Status.Counted() {
		return Decision{}
	}
	d.Provider, d.Model = "", ""
	d.ClassifiedAt = nil
	return d.change(StatusUploaded, ReasonNone, now)
}

// Quarantine marks a counted document as quarantined, because its object is not the one that was
// confirmed, and releases its charge. The object is kept. In any other status Quarantine changes
// nothing.
func (d *Document) Quarantine(q *Quota, now time.Time) Decision {
	if !d.Status.Counted() {
		return Decision{}
	}
	d.release(q)
	return d.change(StatusQuarantined, ReasonContentChanged, now)
}

// Expire marks a pending document as expired if its last URL was issued at least ExpireAfter ago.
// Otherwise it changes nothing. The caller must have verified with a HEAD that there is no object.
func (d *Document) Expire(now time.Time) Decision {
	if d.Status != StatusPending || now.Before(d.URLIssuedAt.Add(ExpireAfter)) {
		return Decision{}
	}
	return d.change(StatusExpired, ReasonNone, now)
}

// Renew records that an upload URL is issued now for a document that awaits its file. An expired
// document becomes pending again. In any other status Renew changes nothing.
func (d *Document) Renew(now time.Time) Decision {
	if !d.Status.AwaitsFile() {
		return Decision{}
	}
	if now.After(d.URLIssuedAt) {
		d.URLIssuedAt = now
	}
	if d.Status == StatusPending {
		return Decision{Renewed: true}
	}
	return d.change(StatusPending, ReasonNone, now)
}

// Delete marks a document as deleting at its owner's request, removes its topics, and marks its
// object for deletion. MarkGone releases the charge once the object is gone.
func (d *Document) Delete(now time.Time) Decision {
	if d.Status == StatusDeleting {
		return Decision{}
	}
	dec := d.change(StatusDeleting, ReasonNone, now)
	dec.DeleteObject = true
	dec.Topics = []DocumentTopic{}
	return dec
}

// MarkGone records that the object of a deleting or counted document is gone, and releases the
// document's charge. In any other status MarkGone changes nothing. The caller must have verified
// with a HEAD that there is no object.
func (d *Document) MarkGone(q *Quota, now time.Time) Decision {
	if d.GoneAt != nil || (d.Status != StatusDeleting && !d.Status.Counted()) {
		return Decision{}
	}
	d.release(q)
	d.GoneAt = &now
	dec := d.change(StatusDeleting, ReasonNone, now)
	dec.Topics = []DocumentTopic{}
	return dec
}

// MarkUnpublished marks the event of the document's current version as unpublished and increases
// the announcement, so that the event is published again under a new message id.
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
