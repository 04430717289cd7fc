package reconcile

import (
	"time"

	"intray/infra/postgres"
	"intray/schema"
)

// Kind names a difference between the bucket and the database.
type Kind string

const (
	// UnknownObject: an object at a key that the database has never known, or knows
	// no more. Nothing is deleted that we did not give up, so it is only reported,
	// unless Options.DeleteUnknown.
	UnknownObject Kind = "unknown_object"
	// StrayObject: an object at a key that was given up. Fix deletes it again.
	StrayObject Kind = "stray_object"
	// MissingObject: a document that is counted or being deleted, without its
	// object. Fix ends it and gives its charge back.
	MissingObject Kind = "missing_object"
	// ChangedObject: an object of another size or ETag than was confirmed. Fix
	// quarantines the document and keeps the object.
	ChangedObject Kind = "changed_object"
	// Unconfirmed: a pending or expired document whose object is there. Fix
	// confirms it, which may also mean that it is rejected.
	Unconfirmed Kind = "unconfirmed"
	// QuotaDrift: a user's used bytes are not the sum of what the user's documents
	// are charged. Fix sets them to it.
	QuotaDrift Kind = "quota_drift"
	// Unchecked: MinIO refused to show what is at a document's key, so nothing is
	// known. Nothing fixes it but the right key or policy.
	Unchecked Kind = "unchecked"
)

// Kinds lists every kind, in the order of reports.
var Kinds = []Kind{
	UnknownObject,
	StrayObject,
	MissingObject,
	ChangedObject,
	Unconfirmed,
	QuotaDrift,
	Unchecked,
}

const (
	inOrder Kind = ""
	// adopt: a counted document from before ETags were kept, with an object of the
	// right size. That is no difference; with Fix its ETag is kept from now on.
	adopt Kind = "adopt"
)

// state is what is known of one key.
type state struct {
	postgres.ObjectKeyState
	object *schema.Object // nil: none is there
}

// verdict is the table in the documentation of this package.
func (s state) verdict() Kind {
	d, exists := s.Document, s.object != nil
	switch {
	case s.RequestedAt != nil && s.DeletedAt == nil:
		return inOrder // its deletion is owed and will be carried out
	case d == nil:
		return s.unreferenced()
	case d.Status.Counted():
		return s.counted()
	case d.Status == schema.StatusDeleting && !exists && d.GoneAt == nil:
		return MissingObject
	case !exists || d.Status == schema.StatusQuarantined:
		return inOrder
	case d.Status == schema.StatusPending || d.Status == schema.StatusExpired:
		return Unconfirmed
	default: // rejected, deleting
		return StrayObject
	}
}

// unreferenced is the verdict where no document has the key.
func (s state) unreferenced() Kind {
	switch {
	case s.object == nil:
		return inOrder
	case s.DeletedAt != nil:
		return StrayObject
	default:
		return UnknownObject
	}
}

// counted is the verdict on a counted document.
func (s state) counted() Kind {
	switch {
	case s.object == nil:
		return MissingObject
	case s.object.Size != s.Document.Size:
		return ChangedObject
	case s.Document.ETag == "":
		return adopt
	case s.object.ETag != s.Document.ETag:
		return ChangedObject
	default:
		return inOrder
	}
}

// changedAt is when the last thing happened at the key; since where an absence is
// all there is to see.
func (s state) changedAt(since time.Time) time.Time {
	if s.object == nil {
		return since
	}
	latest := s.object.LastModified
	for _, t := range []*time.Time{s.RequestedAt, s.DeletedAt} {
		if t != nil && t.After(latest) {
			latest = *t
		}
	}
	if s.Document != nil && s.Document.ChangedAt.After(latest) {
		latest = s.Document.ChangedAt
	}
	return latest
}

// same reports whether two reads of a key returned the same.
func same(a, b postgres.ObjectKeyState) bool {
	if (a.Document == nil) != (b.Document == nil) || !sameTime(a.RequestedAt, b.RequestedAt) ||
		!sameTime(a.DeletedAt, b.DeletedAt) {
		return false
	}
	return a.Document == nil ||
		(a.Document.ID == b.Document.ID && a.Document.Version == b.Document.Version)
}

func sameTime(a, b *time.Time) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Equal(*b))
}
