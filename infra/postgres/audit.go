package postgres

import (
	"context"
	"encoding/json"
	"iter"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// The audit trail is written by functions and triggers of the database; see
// docs/adr/0037-audit-trail.md. A transaction's settings name who makes a change:
//
//   - intray.actor and intray.reason in the sessions of an operator; see Options
//   - intray.proof, of which the user is the actor, and intray.address in those of the role api
//
// The functions of the role auth have the client's address as a parameter.

// auditRetention is how long events of the audit trail are stored. The database refuses to delete
// younger ones.
const auditRetention = 90 * 24 * time.Hour

// clientAddress returns the parameter for a client's address, which is nil if it is unknown.
func clientAddress(address netip.Addr) *string {
	if !address.IsValid() {
		return nil
	}
	return new(address.Unmap().WithZone("").String())
}

// From returns a DB that records changes with the address of the client that requested them. It
// costs each transaction a round trip.
func (db *DB) From(address netip.Addr) *DB {
	from := *db
	from.address = clientAddress(address)
	return &from
}

// RecordEvents adds events to the audit trail. Events with an id that exists are not added again,
// but failed sign-ins are.
func (a *Auth) RecordEvents(ctx context.Context, events []schema.NewAuditEvent) error {
	type event struct {
		ID         uuid.UUID        `json:"id"`
		Kind       schema.AuditKind `json:"kind"`
		Age        float64          `json:"age"`
		UserID     uuid.NullUUID    `json:"user_id"`
		Account    string           `json:"account"`
		DocumentID uuid.NullUUID    `json:"document_id"`
		Address    *string          `json:"address"`
		Count      int64            `json:"count"`
		Details    map[string]any   `json:"details,omitempty"`
	}
	rows := make([]event, len(events))
	for i, e := range events {
		rows[i] = event{
			ID: e.ID, Kind: e.Kind, Age: max(0, time.Since(e.Happened).Seconds()), Account: e.Account,
			UserID:     uuid.NullUUID{UUID: e.UserID, Valid: e.UserID != uuid.Nil},
			DocumentID: uuid.NullUUID{UUID: e.DocumentID, Valid: e.DocumentID != uuid.Nil},
			Count:      e.Count, Details: e.Details,
		}
		if e.Address.IsValid() {
			rows[i].Address = new(e.Address.String())
		}
	}
	text, err := json.Marshal(rows)
	if err == nil {
		_, err = a.db.pool.ExecContext(ctx, `SELECT record_audit_events($1)`, string(text))
	}
	return wrap(ctx, err, "record %d events of the audit trail", len(events))
}

// RecordOperation records what an operator does, with the Actor and the Reason of the Options. The
// details must contain no secret. It requires the owner's role.
func (db *DB) RecordOperation(
	ctx context.Context, kind schema.AuditKind, details map[string]any,
) error {
	text, err := json.Marshal(details)
	if err == nil {
		_, err = db.pool.ExecContext(ctx, `SELECT audit($1, NULL, NULL, $2)`, string(kind), string(text))
	}
	return wrap(ctx, err, "record %s in the audit trail", kind)
}

// RecordRepair records that a repair begins (schema.AuditRepairStarted) or has ended
// (schema.AuditRepairEnded). It requires the role worker or the owner's.
func (db *DB) RecordRepair(
	ctx context.Context, kind schema.AuditKind, details map[string]any,
) error {
	text, err := json.Marshal(details)
	if err == nil {
		_, err = db.pool.ExecContext(ctx, `SELECT record_repair($1, $2)`, string(kind), string(text))
	}
	return wrap(ctx, err, "record %s in the audit trail", kind)
}

// PurgeAuditEvents deletes events that are 90 days old, as PurgeEnded does documents.
func (db *DB) PurgeAuditEvents(ctx context.Context, now time.Time) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		for {
			var n int64
			err := db.pool.GetContext(ctx, &n, `SELECT prune_audit_events($1, $2)`,
				now.Add(-auditRetention), purgeBatch)
			if !yield(n, wrap(ctx, err, "purge the audit trail")) || err != nil || n < purgeBatch {
				return
			}
		}
	}
}

// An AuditFilter selects events of the audit trail. The zero filter selects all.
type AuditFilter struct {
	// Since and Until are the first and the last time, unless they are zero.
	Since, Until time.Time
	Kind         schema.AuditKind
	// UserID selects events that are about the user, or of which the user is the actor.
	UserID uuid.UUID
	// Account selects events about an email address, as in AccountByEmail, whether or not there is an
	// account with it. If UserID is set too, an event matches if either matches.
	Account string
}

// auditPage is the number of entries of an index that one statement reads.
const auditPage = 1000

// AuditEvents yields the events that the filter selects, newest first, and ends with the first
// error. Each statement reads the next entries of one index. It requires the owner's role.
func (db *DB) AuditEvents(
	ctx context.Context, f AuditFilter,
) iter.Seq2[schema.AuditEvent, error] {
	return func(yield func(schema.AuditEvent, error) bool) {
		before, beforeID := f.Until, uuid.Max
		if before.IsZero() {
			before = time.Now().AddDate(1, 0, 0)
		}
		for {
			var page []struct {
				schema.AuditEvent
				Matches bool `db:"matches"`
			}
			err := db.pool.SelectContext(ctx, &page, f.page(),
				f.Since, before, beforeID, auditPage, string(f.Kind), f.UserID, f.Account)
			if err != nil {
				yield(schema.AuditEvent{}, wrap(ctx, err, "list the audit trail"))
				return
			}
			for _, e := range page {
				if e.Matches && !yield(e.AuditEvent, nil) {
					return
				}
			}
			if len(page) < auditPage {
				return
			}
			before, beforeID = page[auditPage-1].At, page[auditPage-1].ID
		}
	}
}

// page returns the query for the next entries of the index that selects the fewest events. Some of
// them may not match the filter.
func (f AuditFilter) page() string {
	const order = ` AND at >= $1 AND (at, id) < ($2, $3) ORDER BY at DESC, id DESC LIMIT $4)`
	entries := ""
	add := func(condition string) {
		if entries != "" {
			entries += ` UNION `
		}
		entries += `(SELECT * FROM audit_events WHERE ` + condition + order
	}
	if f.UserID != uuid.Nil {
		add(`user_id = $6`)
		add(`actor_id = $6 AND actor_id IS DISTINCT FROM user_id`)
	}
	if f.Account != "" {
		add(`case_fold(account) = case_fold($7)`)
	}
	if entries == "" && f.Kind != "" {
		add(`kind = $5`)
	}
	if entries == "" {
		add(`true`)
	}
	return `
		SELECT id, at, kind, actor_id, actor, user_id, account, document_id, address, count, details,
			$5::text IN ('', kind) AS matches
		FROM (` + entries + `) AS e
		WHERE $6::uuid IS NOT NULL AND $7::text IS NOT NULL -- so that each parameter has a type
		ORDER BY at DESC, id DESC LIMIT $4`
}
