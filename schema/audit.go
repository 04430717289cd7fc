package schema

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// AuditKind is the kind of an event of the audit trail.
type AuditKind string

// The kinds of events of the audit trail.
const (
	AuditSignedIn           AuditKind = "signed_in"
	AuditSignInFailed       AuditKind = "sign_in_failed"       // summed up; see AuditEvent.Count
	AuditSignedOut          AuditKind = "signed_out"           // with the session's refresh token
	AuditRefreshTokenReused AuditKind = "refresh_token_reused" // it may be stolen; the session ended
	AuditPasswordChanged    AuditKind = "password_changed"
	AuditRoleChanged        AuditKind = "role_changed"
	AuditQuotaChanged       AuditKind = "quota_changed" // the limit, not the used bytes
	AuditAISettingsChanged  AuditKind = "ai_settings_changed"
	AuditUserAdded          AuditKind = "user_added"
	AuditUserRemoved        AuditKind = "user_removed"
	AuditSystemTopicAdded   AuditKind = "system_topic_added"
	AuditSystemTopicChanged AuditKind = "system_topic_changed"
	AuditSystemTopicRemoved AuditKind = "system_topic_removed"
	AuditProofKeyRotated    AuditKind = "proof_key_rotated"
	AuditDownloadURLIssued  AuditKind = "download_url_issued"
	AuditReplayStarted      AuditKind = "replay_started"
	AuditReplayPaused       AuditKind = "replay_paused"
	AuditReplayResumed      AuditKind = "replay_resumed"
	AuditReplayCanceled     AuditKind = "replay_canceled"
	AuditReplayEnded        AuditKind = "replay_ended"
	AuditDeadLettersRetried AuditKind = "dead_letters_retried" // recorded before the first retry
	AuditDeadLettersDropped AuditKind = "dead_letters_dropped" // recorded before the first deletion
	AuditRepairStarted      AuditKind = "repair_started"       // of bucket and database
	AuditRepairEnded        AuditKind = "repair_ended"
	AuditProvisioned        AuditKind = "provisioned" // passwords of roles and access keys
)

// AuditKinds are all kinds of events.
var AuditKinds = []AuditKind{
	AuditSignedIn, AuditSignInFailed, AuditSignedOut, AuditRefreshTokenReused, AuditPasswordChanged,
	AuditRoleChanged, AuditQuotaChanged, AuditAISettingsChanged, AuditUserAdded, AuditUserRemoved,
	AuditSystemTopicAdded, AuditSystemTopicChanged, AuditSystemTopicRemoved, AuditProofKeyRotated,
	AuditDownloadURLIssued, AuditReplayStarted, AuditReplayPaused, AuditReplayResumed,
	AuditReplayCanceled, AuditReplayEnded, AuditDeadLettersRetried, AuditDeadLettersDropped,
	AuditRepairStarted, AuditRepairEnded, AuditProvisioned,
}

// An AuditEvent is an entry of the audit trail. It contains no password, token, key or URL.
type AuditEvent struct {
	ID uuid.UUID `db:"id" json:"id"`
	// At is when it happened; of AuditSignInFailed, the minute in which it did.
	At   time.Time `db:"at" json:"at"`
	Kind AuditKind `db:"kind" json:"kind"`
	// ActorID is the user who did it. It is nil if that was an operator, a server or an unknown
	// person.
	ActorID *uuid.UUID `db:"actor_id" json:"actor_id"`
	// Actor is the email address of that user at that time, the name of the operator, or the role of
	// the server; nil for an unknown person.
	Actor *string `db:"actor" json:"actor"`
	// UserID is the user whom the event is about, nil if there is none.
	UserID *uuid.UUID `db:"user_id" json:"user_id"`
	// Account is the email address of that user at that time, or the one that somebody tried to sign
	// in to.
	Account    *string    `db:"account" json:"account"`
	DocumentID *uuid.UUID `db:"document_id" json:"document_id"`
	// Address is the address of the client. Of AuditSignInFailed it is a network of IPv6.
	Address *string `db:"address" json:"address"`
	// Count is how many failed sign-ins the event stands for, and 1 for all other kinds.
	Count int64 `db:"count" json:"count"`
	// Details is a JSON object.
	Details json.RawMessage `db:"details" json:"details"`
}

// A NewAuditEvent is an event that the API records in a batch.
type NewAuditEvent struct {
	ID   uuid.UUID
	Kind AuditKind
	// Happened is when it happened by the monotonic clock of this process.
	Happened time.Time
	// UserID is the user who did it, uuid.Nil for AuditSignInFailed.
	UserID uuid.UUID
	// Account is the email address of AuditSignInFailed.
	Account    string
	DocumentID uuid.UUID
	Address    netip.Prefix // of the client; the zero Prefix if it is unknown
	Count      int64        // of AuditSignInFailed
	Details    map[string]any
}
