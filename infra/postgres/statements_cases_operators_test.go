package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// sweepCases are the cases of the consumers and of the sweeper.
var sweepCases = []statementCase{
	// the sweeper
	{methods: "PendingDocuments", run: func(s *statementRun) (total int, err error) {
		for _, before := range []time.Time{s.base.Add(time.Minute), time.Now().Add(time.Hour)} {
			docs, _, err := s.worker.PendingDocuments(s.ctx, before, uuid.Nil, 500)
			if err != nil {
				return 0, err
			}
			total += len(docs)
		}
		return total, nil
	}},
	{methods: "UnpublishedDocuments", run: func(s *statementRun) (int, error) {
		return 0, one0(s.worker.UnpublishedDocuments(s.ctx, 0, schema.Document{}, 200))
	}},
	{methods: "UnclassifiedDocuments", run: func(s *statementRun) (int, error) {
		_, _, err := s.worker.UnclassifiedDocuments(s.ctx, 0, uuid.Nil, 200)
		return 0, err
	}},
	{methods: "AbandonMultiparts", walks: true, run: func(s *statementRun) (int, error) {
		if err := s.worker.AbandonMultiparts(s.ctx, time.Now().Add(-time.Hour)); err != nil {
			return 0, err
		}
		return 0, nil
	}},
	{methods: "DueMultipartAborts", run: func(s *statementRun) (int, error) {
		return length(s.worker.DueMultipartAborts(s.ctx, time.Now(), schema.MultipartUpload{}, 200))
	}},
	{methods: "PurgeEnded PurgeTombstones PurgeGoneKeys PurgeAttempts PurgeAttemptNumbers " +
		"PurgeAuditEvents",
		run: func(s *statementRun) (int, error) {
			later := time.Now().Add(40 * 24 * time.Hour)
			for _, purge := range []iter.Seq2[int64, error]{
				s.worker.PurgeEnded(s.ctx, later), s.worker.PurgeTombstones(s.ctx, later),
				s.worker.PurgeGoneKeys(s.ctx, later), s.worker.PurgeAttempts(s.ctx, later),
				s.worker.PurgeAttemptNumbers(s.ctx, later), s.worker.PurgeAuditEvents(s.ctx, later),
			} {
				for _, err := range purge {
					if err != nil {
						return 0, err
					}
					break // the first batch
				}
			}
			return 0, nil
		}},

	{methods: "FailedAttempts CountAttempt ForgetAttempts", allowance: batchAllowance,
		run: func(s *statementRun) (int, error) {
			return eachBatch(func(n int) (int, error) {
				messages := make([]postgres.Message, n)
				for i := range messages {
					messages[i] = postgres.Message{Sequence: uint64(s.next() - int64(s.n)), StoredAt: s.base}
				}
				failed, err := s.worker.FailedAttempts(s.ctx, "BUCKET", "confirm", messages)
				_, err2 := s.worker.CountAttempt(s.ctx, "BUCKET", "confirm", messages[0])
				return len(failed), errors.Join(err, err2,
					s.worker.ForgetAttempts(s.ctx, "BUCKET", "confirm", messages))
			})
		}},
	// There is a row only for a document whose object cannot be checked. The fixture has none.
	{methods: "UncheckedUploads RecordUncheckedUpload ForgetUncheckedUploads",
		run: func(s *statementRun) (int, error) {
			return eachBatch(func(n int) (int, error) {
				ids := s.take(s, n, "status = 'pending'")
				later := time.Now().Add(time.Hour)
				for _, id := range ids {
					if err := s.worker.RecordUncheckedUpload(s.ctx, id, 1, "cause", later); err != nil {
						return 0, err
					}
				}
				due, _, err := s.worker.UncheckedUploads(s.ctx, later, n)
				return len(due), errors.Join(err, s.worker.ForgetUncheckedUploads(s.ctx, ids))
			})
		}},

	// object deletions
	{methods: "DueDeletions MarkDeleted RepeatDeletions", run: func(s *statementRun) (int, error) {
		return eachBatch(func(n int) (int, error) {
			due, err := s.worker.DueDeletions(s.ctx, time.Now().Add(time.Hour), postgres.Deletion{}, n)
			err = errors.Join(err, s.worker.MarkDeleted(s.ctx, due))
			keys := make([]string, len(due))
			for i, d := range due {
				keys[i] = d.ObjectKey
			}
			again, err2 := s.worker.RepeatDeletions(s.ctx, keys)
			return len(due) + again, errors.Join(err, err2, s.worker.MarkDeleted(s.ctx, due))
		})
	}},
	{methods: "PendingDeletions", walks: true, run: func(s *statementRun) (int, error) {
		_, err := s.worker.PendingDeletions(s.ctx)
		return 0, err
	}},
	{methods: "RecordDeletionFailure Deletion", run: func(s *statementRun) (int, error) {
		key := schema.ObjectKey(s.id(objectKind, 105))
		err := s.worker.RecordDeletionFailure(s.ctx, key, "cause", time.Now())
		_, _, _, err2 := s.worker.Deletion(s.ctx, key)
		return first(err, err2)
	}},
	{methods: "RequestUnknownDeletions", run: func(s *statementRun) (int, error) {
		return eachBatch(func(n int) (int, error) {
			return s.owner.RequestUnknownDeletions(s.ctx,
				objectKeys(s.take(s, n, "status = 'classified'")))
		})
	}},
}

// operatorCases are the cases of reconcile and of the operators' commands.
var operatorCases = []statementCase{
	// reconciliation and the backlog
	{methods: "DocumentsInKeyOrder", allowance: scanAllowance,
		run: func(s *statementRun) (n int, err error) {
			for _, err = range s.worker.DocumentsInKeyOrder(s.ctx) {
				if n++; n == 3000 || err != nil {
					break
				}
			}
			return n, err
		}},
	{methods: "EstimateDocuments", run: func(s *statementRun) (int, error) {
		_, err := s.worker.EstimateDocuments(s.ctx)
		return 0, err
	}},
	{methods: "QuotaUsages", allowance: rangeAllowance, walks: true,
		run: func(s *statementRun) (int, error) {
			return 0, one0(s.worker.QuotaUsages(s.ctx, uuid.Nil, 100))
		}},
	{methods: "RecomputeQuota", allowance: rangeAllowance, walks: true,
		run: func(s *statementRun) (int, error) {
			return 0, s.worker.RecomputeQuota(s.ctx, s.alice)
		}},
	{methods: "SaveReconciliation LastReconciliation ReconciliationDue BeginReconciliation",
		run: func(s *statementRun) (int, error) {
			err := s.worker.SaveReconciliation(s.ctx, nil, 0)
			_, err2 := s.worker.LastReconciliation(s.ctx)
			_, last, err3 := s.worker.ReconciliationDue(s.ctx, 0, 0)
			_, err4 := s.worker.BeginReconciliation(s.ctx, last)
			return 0, errors.Join(err, err2, err3, err4)
		}},
	{methods: "WithLease Lease Leases", run: func(s *statementRun) (int, error) {
		_, err := s.worker.WithLease(s.ctx, "case", func(ctx context.Context) error {
			_, err := s.worker.Lease(ctx, "case")
			_, err2 := s.worker.Leases(ctx)
			// The transaction of this call holds the lease.
			return errors.Join(err, err2, s.worker.SaveReconciliation(ctx, nil, 0))
		})
		return 0, err
	}},
	{methods: "Now", run: func(s *statementRun) (int, error) { return 0, one0(s.worker.Now(s.ctx)) }},
	{methods: "Writable", run: func(s *statementRun) (int, error) {
		return 0, s.worker.Writable(s.ctx, 0)
	}},
	{methods: "Backlog", run: func(s *statementRun) (int, error) {
		_, err := s.worker.Backlog(s.ctx)
		return 0, err
	}},
	{methods: "CheckSchema", run: func(s *statementRun) (int, error) {
		return 0, s.api.CheckSchema(s.ctx)
	}},

	// dead letters
	{methods: "AddDeadLetter", run: func(s *statementRun) (int, error) {
		l := postgres.DeadLetter{Stream: "BUCKET", Sequence: uint64(s.next()), Consumer: "confirm"}
		return first(s.worker.AddDeadLetter(s.ctx, l), s.worker.AddDeadLetter(s.ctx, l))
	}},
	{methods: "DeadLetter DeadLetterSequences", run: func(s *statementRun) (int, error) {
		_, err := s.worker.DeadLetter(s.ctx, 9)
		_, err2 := s.worker.DeadLetterSequences(s.ctx, "DOCUMENTS", "classify", []uint64{9})
		many := make([]uint64, 100)
		for i := range many {
			many[i] = uint64(i)
		}
		_, err3 := s.worker.DeadLetterSequences(s.ctx, "DOCUMENTS", "classify", many)
		return first(err, err2, err3)
	}},
	{methods: "DeadLetters CountDeadLetters", run: deadLetterCase(
		postgres.DeadLetterFilter{Limit: 100}, postgres.DeadLetterFilter{Limit: 100, NewestFirst: true},
		postgres.DeadLetterFilter{IDs: []int64{5, 9}}), walks: true},
	{methods: "DeadLetters CountDeadLetters, with a reason that none has", walks: true,
		run: deadLetterCase(postgres.DeadLetterFilter{Limit: 100, Reason: "none"})},
	{methods: "DeadLetters CountDeadLetters, with a reason that none has, newest first", walks: true,
		run: deadLetterCase(postgres.DeadLetterFilter{Limit: 100, Reason: "none", NewestFirst: true})},
	{methods: "DeadLetters CountDeadLetters, of a consumer without any", walks: true,
		run: deadLetterCase(postgres.DeadLetterFilter{Consumer: "remove"})},
	{methods: "DeadLetters CountDeadLetters, of a time", walks: true,
		run: deadLetterCase(postgres.DeadLetterFilter{Since: time.Now(), Until: time.Now()})},
	{methods: "DeleteDeadLetters", run: func(s *statementRun) (int, error) {
		id := s.next() - int64(s.n) + 100
		n, err := s.worker.DeleteDeadLetters(s.ctx, postgres.DeadLetterFilter{IDs: []int64{id}})
		return int(n), err
	}},
	{methods: "DeleteDeadLetters, with a reason that none has",
		run: func(s *statementRun) (int, error) {
			_, err := s.worker.DeleteDeadLetters(s.ctx, postgres.DeadLetterFilter{Reason: "none"})
			return 0, err
		}, walks: true},

	// replays
	{methods: "CreateReplay SelectEvents AddGeneratedEvents StartReplay Replay UnfinishedEvents " +
		"GeneratedEvents RecordOutcomes RecordReplayProgress SetReplayStatus EndReplay",
		allowance: catalogAllowance, run: replayCase},
	{methods: "DeletePlannedReplay", run: func(s *statementRun) (int, error) {
		name := newID(s).String()
		err := s.owner.CreateReplay(s.ctx, postgres.Replay{Name: name, Selection: []byte("{}")})
		err2 := s.owner.AddGeneratedEvents(s.ctx, name, 1, make([]string, 100))
		return first(err, err2, s.owner.DeletePlannedReplay(s.ctx, name))
	}},
	{methods: "Replays ReplayRate", run: func(s *statementRun) (int, error) {
		_, err := s.owner.ReplayRate(s.ctx, "classify")
		_, err2 := s.owner.ReplayRate(s.ctx, "remove")
		n, err3 := length(s.owner.Replays(s.ctx, 20))
		return n, errors.Join(err, err2, err3)
	}},
	{methods: "ReplaysOf", run: func(s *statementRun) (int, error) {
		return length(s.owner.ReplaysOf(s.ctx, "DOCUMENTS", s.base, []int64{1024*20 + 5, 1024 * 21}))
	}},
	{methods: "HasDocumentsBefore", run: func(s *statementRun) (int, error) {
		_, err := s.owner.HasDocumentsBefore(s.ctx, s.base.Add(-time.Hour))
		_, err2 := s.owner.HasDocumentsBefore(s.ctx, time.Now())
		return first(err, err2)
	}},

	// the audit trail
	{methods: "RecordEvents", allowance: auditAllowance, run: func(s *statementRun) (int, error) {
		events := []schema.NewAuditEvent{
			{ID: newID(s), Kind: schema.AuditDownloadURLIssued, UserID: s.alice, Happened: time.Now(),
				DocumentID: newID(s)},
		}
		for i := range 50 {
			for _, account := range []string{"USER9@example.org", fmt.Sprintf("none%d", i)} {
				events = append(events, schema.NewAuditEvent{
					Kind: schema.AuditSignInFailed, Account: account, Happened: time.Now(), Count: 1,
					Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 32)})
			}
		}
		return 0, s.auth.RecordEvents(s.ctx, events)
	}},
	{methods: "RecordOperation RecordRepair", allowance: catalogAllowance,
		run: func(s *statementRun) (int, error) {
			_, err := s.owner.Pool().Exec(`SELECT rotate_proof_key()`)
			return 0, errors.Join(err,
				s.owner.RecordOperation(s.ctx, schema.AuditDeadLettersDropped, map[string]any{"a": 1}),
				s.worker.RecordRepair(s.ctx, schema.AuditRepairStarted, map[string]any{"a": 1}))
		}},
	{methods: "AuditEvents", allowance: auditAllowance, run: auditCase(postgres.AuditFilter{}, 1500)},
	{methods: "AuditEvents, of a kind", allowance: auditAllowance,
		run: auditCase(postgres.AuditFilter{Kind: schema.AuditSignedIn}, 1500)},
	{methods: "AuditEvents, of a kind that few have", walks: true, allowance: auditAllowance,
		run: auditCase(postgres.AuditFilter{Kind: schema.AuditReplayPaused}, 1)},
	{methods: "AuditEvents, of a time", allowance: auditAllowance,
		run: func(s *statementRun) (int, error) {
			return auditCase(postgres.AuditFilter{
				Since: s.base.Add(100 * time.Second), Until: s.base.Add(2000 * time.Second),
			}, 1500)(s)
		}},
	{methods: "AuditEvents, of a user with many", allowance: auditAllowance,
		run: func(s *statementRun) (int, error) {
			return auditCase(postgres.AuditFilter{UserID: s.alice, Account: "user1@example.org"}, 1500)(s)
		}},
	{methods: "AuditEvents, of a user with few", allowance: auditAllowance,
		run: func(s *statementRun) (int, error) {
			return auditCase(postgres.AuditFilter{UserID: s.id(userKind, 100), Account: "none"}, 1)(s)
		}},

	// It stores topics only in an empty table, and deletes nothing.
	{methods: "SeedTopics", run: func(s *statementRun) (int, error) {
		return s.owner.SeedTopics(s.ctx, []schema.Topic{{Name: "T"}})
	}},
}

// auditCase reads up to n events of the audit trail.
func auditCase(f postgres.AuditFilter, n int) func(*statementRun) (int, error) {
	return func(s *statementRun) (read int, err error) {
		for _, err := range s.owner.AuditEvents(s.ctx, f) {
			if err != nil {
				return 0, err
			}
			if read++; read == n {
				break
			}
		}
		return read, nil
	}
}

// replayCase runs a replay of events of a stream and one of generated events.
func replayCase(s *statementRun) (total int, err error) {
	for _, stream := range []string{"DOCUMENTS", ""} {
		name := fmt.Sprint("new ", s.next())
		blocks := make([]postgres.ReplayBlock, 20)
		for i := range blocks {
			blocks[i].Number = int64(i + 1)
			blocks[i].Positions.Set(5)
		}
		_, err := first(
			s.owner.CreateReplay(s.ctx, postgres.Replay{
				Name: name, Target: "confirm", Selection: []byte("{}"), Stream: stream}),
			s.owner.SelectEvents(s.ctx, name, blocks),
			s.owner.AddGeneratedEvents(s.ctx, name, 1, make([]string, 100)),
			one0(s.owner.StartReplay(s.ctx, name)), one0(s.owner.Replay(s.ctx, name)),
			one0(s.owner.UnfinishedEvents(s.ctx, name, 5, 10)),
			one0(s.owner.GeneratedEvents(s.ctx, name, 1, 10)),
			s.worker.RecordOutcomes(s.ctx, []postgres.EventOutcome{{name, 1029, postgres.Applied}}),
			one0(s.owner.RecordReplayProgress(s.ctx, name, 5, 1)),
			one0(s.owner.SetReplayStatus(s.ctx, name, postgres.ReplayRunning)),
			s.owner.EndReplay(s.ctx, name, postgres.ReplayDone))
		if err != nil {
			return 0, err
		}
	}
	return total, nil
}

// deadLetterCase lists and counts the dead letters that each of the filters selects.
func deadLetterCase(filters ...postgres.DeadLetterFilter) func(*statementRun) (int, error) {
	return func(s *statementRun) (int, error) {
		for _, f := range filters {
			_, err := s.worker.DeadLetters(s.ctx, f)
			_, _, err2 := s.worker.CountDeadLetters(s.ctx, f)
			if err := errors.Join(err, err2); err != nil {
				return 0, err
			}
		}
		return 0, nil
	}
}
