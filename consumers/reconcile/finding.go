package reconcile

import (
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// Finding is one difference.
type Finding struct {
	Kind Kind   `json:"kind"`
	Key  string `json:"object_key,omitempty"`
	// The document's, if there is one; UserID also of a quota.
	DocumentID *uuid.UUID    `json:"document_id,omitempty"`
	UserID     *uuid.UUID    `json:"user_id,omitempty"`
	Status     schema.Status `json:"status,omitempty"`
	Size       *int64        `json:"size,omitempty"` // confirmed or, until then, declared, in bytes
	ETag       string        `json:"etag,omitempty"` // confirmed
	// Object is what is there.
	Object *Object `json:"object,omitempty"`
	// UsedBytes and ChargedBytes are those of a quota that drifted.
	UsedBytes    *int64 `json:"used_bytes,omitempty"`
	ChargedBytes *int64 `json:"charged_bytes,omitempty"`
	// Bytes is how much it is about; see Tally.
	Bytes int64 `json:"bytes"`
	Fixed bool  `json:"fixed"`
	// Note says why it was not fixed although that was asked for, or what is in the
	// way.
	Note string `json:"note,omitempty"`
}

// Object is an object in a Finding.
type Object struct {
	Size         int64     `json:"size"`
	ETag         string    `json:"etag"`
	LastModified time.Time `json:"last_modified"`
}

func objectOf(o schema.Object) *Object {
	return &Object{Size: o.Size, ETag: o.ETag, LastModified: o.LastModified.UTC()}
}

func (l inspection) finding(key string) Finding {
	f := Finding{Kind: l.kind, Key: key}
	if d := l.Document; d != nil {
		f.DocumentID, f.UserID, f.Status, f.Size, f.ETag = &d.ID, &d.UserID, d.Status, &d.Size, d.ETag
		f.Bytes = d.Size
	}
	if l.object != nil {
		f.Object = objectOf(*l.object)
		f.Bytes = l.object.Size
	}
	if l.refused != nil {
		f.Note = l.refused.Error()
	}
	return f
}

func unstorable(o schema.Object) Finding {
	return Finding{
		Kind: UnknownObject, Key: o.Key, Object: objectOf(o), Bytes: o.Size,
		Note: "the key is not text that a database can hold; delete the object by hand",
	}
}

func driftOf(q postgres.QuotaUsage) Finding {
	return Finding{
		Kind: QuotaDrift, UserID: &q.UserID, UsedBytes: &q.UsedBytes, ChargedBytes: &q.ChargedBytes,
		Bytes: max(q.UsedBytes-q.ChargedBytes, q.ChargedBytes-q.UsedBytes),
	}
}
