package reconcile

import (
	"time"

	"intray/infra/postgres"
	"intray/schema"
)

// Kind names a difference between the bucket and the database.
type Kind string

const (
	// UnknownObject is an object at a key that the database has never known or no longer knows. It is
	// only reported, unless Options.DeleteUnknown is set.
	UnknownObject Kind = "unknown_object"
	// StrayObject is an object that was marked for deletion and exists again. Fix deletes it again.
	StrayObject Kind = "stray_object"
	// MissingObject is a counted or deleting document without an object. Fix deletes the document and
	// releases its charge.
	MissingObject Kind = "missing_object"
	// ChangedObject is an object whose size or ETag differs from what was confirmed. Fix quarantines
	// the document and keeps the object.
	ChangedObject Kind = "changed_object"
	// Unconfirmed is a pending or expired document whose object exists. Fix confirms the document,
	// which may also reject it.
	Unconfirmed Kind = "unconfirmed"
	// QuotaDrift is a quota whose used bytes differ from the sum of the charges of the user's
	// documents. Fix sets the used bytes to the sum.
	QuotaDrift Kind = "quota_drift"
	// Unchecked is a document whose object MinIO cannot or may not read, for example because it is
	// damaged on too many drives. Fix changes nothing.
	Unchecked Kind = "unchecked"
)

// Kinds lists all kinds in the order in which they are reported.
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
	// correct means that there is no difference.
	correct Kind = ""
	// adoptETag is a counted document whose ETag is not known, because it was stored before ETags were
	// recorded, with an object of the confirmed size. It does not count as a difference. Fix stores
	// the object's ETag.
	adoptETag Kind = "adopt_etag"
)

// state is the state of one key in the database and the bucket.
type state struct {
	postgres.ObjectKeyState
	object *schema.Object // nil if there is none
}

// verdict returns the kind of difference, according to the table in the package documentation.
func (s state) verdict() Kind {
	d, exists := s.Document, s.object != nil
	switch {
	case s.RequestedAt != nil && s.DeletedAt == nil:
		return correct // the deletion is pending and will be carried out
	case d == nil:
		return s.unreferenced()
	case d.Status.Counted():
		return s.counted()
	case d.Status == schema.StatusDeleting && !exists && d.GoneAt == nil:
		return MissingObject
	case !exists || d.Status == schema.StatusQuarantined:
		return correct
	case d.Status == schema.StatusPending || d.Status == schema.StatusExpired:
		return Unconfirmed
	default: // rejected, deleting
		return StrayObject
	}
}

// unreferenced returns the verdict for a key without a document.
func (s state) unreferenced() Kind {
	switch {
	case s.object == nil:
		return correct
	case s.DeletedAt != nil:
		return StrayObject
	default:
		return UnknownObject
	}
}

// counted returns the verdict for a counted document.
func (s state) counted() Kind {
	switch {
	case s.object == nil:
		return MissingObject
	case s.object.Size != s.Document.Size:
		return ChangedObject
	case s.Document.ETag == "":
		return adoptETag
	case s.object.ETag != s.Document.ETag:
		return ChangedObject
	default:
		return correct
	}
}

// changedAt returns the time of the last change at the key. If there is no object it returns since,
// because the time of a removal is unknown.
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

// same reports whether two reads of a key's rows returned the same state.
func same(a, b postgres.ObjectKeyState) bool {
	if (a.Document == nil) != (b.Document == nil) || !sameTime(a.RequestedAt, b.RequestedAt) ||
		!sameTime(a.DeletedAt, b.DeletedAt) {
		return false
	}
	return a.Document == nil ||
		(a.Document.ID == b.Document.ID && a.Document.Version == b.Document.Version)
}

// sameTime reports whether two times are equal or both nil.
func sameTime(a, b *time.Time) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Equal(*b))
}
