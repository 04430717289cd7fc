package reconcile

import (
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// Finding is one difference between bucket and database.
type Finding struct {
	Kind Kind   `json:"kind"`
	Key  string `json:"object_key,omitempty"`
	// DocumentID and UserID are those of the document, if there is one. For a quota, UserID is set.
	DocumentID *uuid.UUID    `json:"document_id,omitempty"`
	UserID     *uuid.UUID    `json:"user_id,omitempty"`
	Status     schema.Status `json:"status,omitempty"`
	// Size is the confirmed size in bytes, or the declared one if the document was not confirmed.
	Size *int64 `json:"size,omitempty"`
	ETag string `json:"etag,omitempty"` // as confirmed
	// Object is the object at the key, if there is one.
	Object *Object `json:"object,omitempty"`
	// UsedBytes and ChargedBytes are set for QuotaDrift.
	UsedBytes    *int64 `json:"used_bytes,omitempty"`
	ChargedBytes *int64 `json:"charged_bytes,omitempty"`
	// Bytes is the size of the object or the missing document, or the difference of the quota.
	Bytes int64 `json:"bytes"`
	Fixed bool  `json:"fixed"`
	// Note explains why the difference was not fixed although Options.Fix is set, or why the object
	// could not be checked.
	Note string `json:"note,omitempty"`
}

// Object describes an object in a Finding.
type Object struct {
	Size         int64     `json:"size"`
	ETag         string    `json:"etag"`
	LastModified time.Time `json:"last_modified"`
}

func objectOf(o schema.Object) *Object {
	return &Object{Size: o.Size, ETag: o.ETag, LastModified: o.LastModified.UTC()}
}

// finding returns the finding for an inspected key.
func (in inspection) finding(key string) Finding {
	f := Finding{Kind: in.kind, Key: key}
	if d := in.Document; d != nil {
		f.DocumentID, f.UserID, f.Status, f.Size, f.ETag = &d.ID, &d.UserID, d.Status, &d.Size, d.ETag
		f.Bytes = d.Size
	}
	if in.object != nil {
		f.Object = objectOf(*in.object)
		f.Bytes = in.object.Size
	}
	if in.err != nil {
		f.Note = in.err.Error()
	}
	return f
}

// unstorable returns the finding for an object whose key cannot be stored in the database.
func unstorable(o schema.Object) Finding {
	return Finding{
		Kind: UnknownObject, Key: o.Key, Object: objectOf(o), Bytes: o.Size,
		Note: "the key is not valid text in the database; delete the object manually",
	}
}

// driftOf returns the finding for a quota that differs from the sum of its charges.
func driftOf(q postgres.QuotaUsage) Finding {
	return Finding{
		Kind: QuotaDrift, UserID: &q.UserID, UsedBytes: &q.UsedBytes, ChargedBytes: &q.ChargedBytes,
		Bytes: max(q.UsedBytes-q.ChargedBytes, q.ChargedBytes-q.UsedBytes),
	}
}
