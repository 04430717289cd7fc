package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// auditSchema creates tables and triggers that record every transition when its transaction
// commits, and every change of a quota. The clients see only some of these changes.
const auditSchema = `
CREATE TABLE faults_documents (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	transaction_id text NOT NULL,
	document_id uuid NOT NULL,
	old_version bigint NOT NULL,
	version bigint NOT NULL,
	old_status text NOT NULL,
	status text NOT NULL,
	reason text NOT NULL,
	gone boolean NOT NULL,
	size bigint NOT NULL,
	released_bytes bigint NOT NULL,
	used_bytes bigint NOT NULL,
	limit_bytes bigint NOT NULL);
CREATE TABLE faults_quotas (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	user_id uuid NOT NULL,
	old_used_bytes bigint NOT NULL,
	used_bytes bigint NOT NULL,
	limit_bytes bigint NOT NULL);

CREATE FUNCTION faults_document() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
	d documents;
	q quotas;
BEGIN
	IF TG_OP = 'DELETE' THEN d := OLD; ELSE d := NEW; END IF;
	IF TG_OP = 'UPDATE' AND NEW.version = OLD.version THEN
		RETURN NULL;
	END IF;
	SELECT * INTO q FROM quotas WHERE user_id = d.user_id;
	INSERT INTO faults_documents (transaction_id, document_id, old_version, version,
		old_status, status, reason,
		gone, size, released_bytes,
		used_bytes, limit_bytes)
	VALUES (pg_current_xact_id()::text, d.id, coalesce(OLD.version, 0), d.version,
		coalesce(OLD.status, ''), CASE TG_OP WHEN 'DELETE' THEN '' ELSE d.status END, d.reason,
		d.gone_at IS NOT NULL, d.size, greatest(coalesce(OLD.charged_bytes, 0) - d.charged_bytes, 0),
		coalesce(q.used_bytes, 0), coalesce(q.limit_bytes, 0));
	RETURN NULL;
END $$;
CREATE FUNCTION faults_quota() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
	INSERT INTO faults_quotas (user_id, old_used_bytes, used_bytes, limit_bytes)
	VALUES (NEW.user_id, OLD.used_bytes, NEW.used_bytes, NEW.limit_bytes);
	RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON documents
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION faults_document();
CREATE TRIGGER audit AFTER UPDATE OF used_bytes ON quotas
	FOR EACH ROW EXECUTE FUNCTION faults_quota();`

// transition is a row of faults_documents. UsedBytes and LimitBytes are the owner's quota at the
// end of the transaction.
type transition struct {
	ID            int64
	At            time.Time
	TransactionID string    `db:"transaction_id"`
	DocumentID    uuid.UUID `db:"document_id"`
	OldVersion    int64     `db:"old_version"`
	Version       int64
	OldStatus     string `db:"old_status"` // empty if the row was inserted
	Status        string // empty if the row was deleted
	Reason        string
	Gone          bool // the object is deleted
	Size          int64
	ReleasedBytes int64 `db:"released_bytes"` // given back to the quota
	UsedBytes     int64 `db:"used_bytes"`
	LimitBytes    int64 `db:"limit_bytes"`
}

func (x transition) String() string {
	status := x.Status
	if x.Gone {
		status += " (gone)"
	}
	return fmt.Sprintf("transaction %s: version %d to %d, %q to %q %s; "+
		"its owner has used %d of %d bytes", x.TransactionID, x.OldVersion, x.Version,
		x.OldStatus, status, x.Reason, x.UsedBytes, x.LimitBytes)
}

// allowedTransitions maps each status to the statuses that may follow it. The empty status means
// that there is no row.
var allowedTransitions = map[string][]string{
	"":            {"pending"},
	"pending":     {"uploaded", "rejected", "expired", "deleting"},
	"expired":     {"pending", "uploaded", "rejected", "deleting", ""},
	"uploaded":    {"classified", "failed", "quarantined", "deleting"},
	"classified":  {"quarantined", "deleting"},
	"failed":      {"quarantined", "deleting"},
	"quarantined": {"deleting"},
	"rejected":    {"deleting", ""},
	"deleting":    {"deleting", ""},
}

// auditViolations checks the audit tables: every transition is allowed, every transition increases
// the version by one, no transition takes a quota over its limit, and a document that was rejected
// for its quota did not fit.
func (s *system) auditViolations() (violations []violation, err error) {
	var rows []transition
	err = s.db.Select(&rows, `SELECT * FROM faults_documents ORDER BY document_id, id`)
	if err != nil {
		return nil, err
	}
	releasing := map[string]bool{} // transactions that gave bytes back to a quota
	for _, x := range rows {
		if x.ReleasedBytes > 0 {
			releasing[x.TransactionID] = true
		}
	}
	for i, x := range rows {
		add := func(format string, args ...any) {
			violations = append(violations, violation{x.DocumentID, fmt.Sprintf(format, args...)})
		}
		if !slices.Contains(allowedTransitions[x.OldStatus], x.Status) {
			add("a transition is not allowed: from status %q to %q", x.OldStatus, x.Status)
		}
		if x.Status != "" && x.Version != x.OldVersion+1 {
			add("a transition changed the version from %d to %d", x.OldVersion, x.Version)
		}
		if i > 0 && rows[i-1].DocumentID == x.DocumentID && rows[i-1].Version != x.OldVersion {
			add("two transitions started from version %d", x.OldVersion)
		}
		rejected := x.Status == "rejected" && x.OldStatus != "rejected" &&
			x.Reason == "quota_exceeded"
		// After the rejection, the same transaction may have released bytes of other documents.
		if rejected && x.UsedBytes+x.Size <= x.LimitBytes && !releasing[x.TransactionID] {
			add("a document that fits was rejected: it has %d bytes, and %d of %d bytes were used",
				x.Size, x.UsedBytes, x.LimitBytes)
		}
	}
	var exceeded []string
	err = s.db.Select(&exceeded, `
		SELECT format('%s: user %s went from %s to %s of %s bytes',
			at, user_id, old_used_bytes, used_bytes, limit_bytes)
		FROM faults_quotas WHERE used_bytes > old_used_bytes AND used_bytes > limit_bytes
		ORDER BY id`)
	if err != nil {
		return nil, err
	}
	if len(exceeded) > 0 {
		message := "a transition took used_bytes over the limit: " + strings.Join(exceeded, "; ")
		violations = append(violations, violation{uuid.Nil, message})
	}
	return violations, nil
}
