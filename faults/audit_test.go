package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// auditTables let the database itself write down each transition, as its
// transaction is committed, and each change of a quota: what no client sees.
const auditTables = `
CREATE TABLE audit_documents (
	n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(), tx text NOT NULL,
	document_id uuid NOT NULL, was_version bigint NOT NULL, version bigint NOT NULL, was text NOT NULL, status text NOT NULL,
	reason text NOT NULL, gone boolean NOT NULL, size bigint NOT NULL, released bigint NOT NULL,
	used_bytes bigint NOT NULL, limit_bytes bigint NOT NULL);
CREATE TABLE audit_quotas (
	n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(),
	user_id uuid NOT NULL, was_bytes bigint NOT NULL, used_bytes bigint NOT NULL, limit_bytes bigint NOT NULL);

CREATE FUNCTION audit_document() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
	d documents;
	q quotas;
BEGIN
	IF TG_OP = 'DELETE' THEN d := OLD; ELSE d := NEW; END IF;
	IF TG_OP = 'UPDATE' AND NEW.version = OLD.version THEN
		RETURN NULL;
	END IF;
	SELECT * INTO q FROM quotas WHERE user_id = d.user_id;
	INSERT INTO audit_documents (tx, document_id, was_version, version, was, status, reason, gone, size, released, used_bytes, limit_bytes)
	VALUES (pg_current_xact_id()::text, d.id, coalesce(OLD.version, 0), d.version, coalesce(OLD.status, ''),
		CASE TG_OP WHEN 'DELETE' THEN '' ELSE d.status END, d.reason, d.gone_at IS NOT NULL, d.size,
		greatest(coalesce(OLD.charged_bytes, 0) - d.charged_bytes, 0), coalesce(q.used_bytes, 0), coalesce(q.limit_bytes, 0));
	RETURN NULL;
END $$;
CREATE FUNCTION audit_quota() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
	INSERT INTO audit_quotas (user_id, was_bytes, used_bytes, limit_bytes) VALUES (NEW.user_id, OLD.used_bytes, NEW.used_bytes, NEW.limit_bytes);
	RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON documents DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION audit_document();
CREATE TRIGGER audit AFTER UPDATE OF used_bytes ON quotas FOR EACH ROW EXECUTE FUNCTION audit_quota();`

// transition is one row of audit_documents. Used and Limit are the owner's quota
// as the transaction left it.
type transition struct {
	N          int64
	At         time.Time
	Tx         string
	DocumentID uuid.UUID `db:"document_id"`
	WasVersion int64     `db:"was_version"`
	Version    int64
	Was        string // empty: the row was made
	Status     string // empty: the row ended
	Reason     string
	Gone       bool
	Size       int64
	Released   int64 // of the quota
	Used       int64 `db:"used_bytes"`
	Limit      int64 `db:"limit_bytes"`
}

func (x transition) String() string {
	status := x.Status
	if x.Gone {
		status += " (gone)"
	}
	return fmt.Sprintf("transaction %s: version %d to %d, %q to %q %s; its owner has used %d of %d bytes", x.Tx, x.WasVersion, x.Version,
		x.Was, status, x.Reason, x.Used, x.Limit)
}

// next are the statuses that may follow each.
var next = map[string][]string{
	"":            {"pending"},
	"pending":     {"uploaded", "rejected", "expired", "deleting"},
	"expired":     {"uploaded", "rejected", "deleting", ""},
	"uploaded":    {"classified", "failed", "quarantined", "deleting"},
	"classified":  {"quarantined", "deleting"},
	"failed":      {"quarantined", "deleting"},
	"quarantined": {"deleting"},
	"rejected":    {"deleting", ""},
	"deleting":    {"deleting", ""},
}

// auditViolations reads the audit: every status follows from the one before, the
// versions rise by one, no decision took a quota over its limit, and what was
// rejected for its quota did not fit.
func (s *system) auditViolations() (found []violation, err error) {
	var rows []transition
	if err := s.db.Select(&rows, `SELECT * FROM audit_documents ORDER BY document_id, n`); err != nil {
		return nil, err
	}
	releasing := map[string]bool{}
	for _, x := range rows {
		if x.Released > 0 {
			releasing[x.Tx] = true
		}
	}
	for i, x := range rows {
		add := func(format string, args ...any) {
			found = append(found, violation{x.DocumentID, fmt.Sprintf(format, args...)})
		}
		if !slices.Contains(next[x.Was], x.Status) {
			add("a status followed that may not follow, a deleted document came back: %q to %q", x.Was, x.Status)
		}
		if x.Status != "" && x.Version != x.WasVersion+1 {
			add("its version went from %d to %d", x.WasVersion, x.Version)
		}
		if i > 0 && rows[i-1].DocumentID == x.DocumentID && rows[i-1].Version != x.WasVersion {
			add("two transitions from version %d", x.WasVersion)
		}
		// Others of the same transaction may have given something back after it.
		if x.Status == "rejected" && x.Was != "rejected" && x.Reason == "quota_exceeded" && x.Used+x.Size <= x.Limit && !releasing[x.Tx] {
			add("it was rejected though it fits: %d bytes, %d of %d were used", x.Size, x.Used, x.Limit)
		}
	}
	var over []string
	if err := s.db.Select(&over, `SELECT format('%s: user %s went from %s to %s of %s bytes', at, user_id, was_bytes, used_bytes, limit_bytes)
		FROM audit_quotas WHERE used_bytes > was_bytes AND used_bytes > limit_bytes ORDER BY n`); err != nil {
		return nil, err
	}
	if len(over) > 0 {
		found = append(found, violation{uuid.Nil, "used_bytes passed the limit at a decision: " + strings.Join(over, "; ")})
	}
	return found, nil
}
