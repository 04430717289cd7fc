package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"intray/infra/postgres"
	"intray/schema"
)

type decision = func(*schema.Document, *schema.Quota) schema.Decision

func TestTransitionConfirmsAndCharges(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.alice, "a.txt", 100)
	got := b.transition(t, d.ID, confirm)
	if got.Status != schema.StatusUploaded || got.ChargedBytes != 100 || got.Version != 2 || got.UnpublishedAt == nil {
		t.Fatalf("after confirm: %+v", got)
	}
	read, err := b.worker.DocumentsByKey(t.Context(), []string{d.ObjectKey, "documents/unknown"})
	must(t, err)
	if len(read) != 1 || read[0].MessageID() != got.MessageID() || !read[0].UploadedAt.Equal(*got.UploadedAt) || !read[0].UnpublishedAt.Equal(*got.UnpublishedAt) {
		t.Fatalf("read %+v, want %+v", read, got)
	}
	if again := b.transition(t, d.ID, confirm); again.Version != 2 {
		t.Fatalf("confirmed twice: %+v", again)
	}
	b.checkQuotas(t)
}

func TestTransitionDecidesEachDocumentOnceInOrderWithOneQuotaAUser(t *testing.T) {
	b := setup(t)
	var ids []uuid.UUID
	for _, user := range []uuid.UUID{b.alice, b.bob, b.alice} {
		id := b.create(t, user, "f", 1).ID
		ids = append(ids, id, id)
	}
	ids = append(ids, newID(t)) // unknown
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	quotas := map[uuid.UUID]*schema.Quota{}
	var seen []schema.Document
	docs, err := b.worker.Transition(t.Context(), ids, func(d *schema.Document, q *schema.Quota) schema.Decision {
		if quotas[d.UserID] == nil {
			quotas[d.UserID] = q
		}
		if quotas[d.UserID] != q || q.UserID != d.UserID {
			t.Errorf("document %s got another quota", d.ID)
		}
		seen = append(seen, *d)
		return confirm(d, q)
	})
	must(t, err)
	if len(docs) != 3 || len(seen) != 3 || seen[0].ID.String() > seen[1].ID.String() || seen[1].ID.String() > seen[2].ID.String() {
		t.Fatalf("decided %d, returned %d", len(seen), len(docs))
	}
	b.checkQuotas(t)
}

func TestTheLastBytesGoToAsManyAsFit(t *testing.T) {
	b := setup(t)
	b.raw.MustExec(`UPDATE quotas SET limit_bytes = 50 WHERE user_id = $1`, b.alice)
	ids := make([]uuid.UUID, 30)
	for i := range ids {
		ids[i] = b.create(t, b.alice, "f", 3).ID
	}
	var group sync.WaitGroup
	for _, id := range ids {
		group.Go(func() {
			if _, err := b.worker.Transition(context.Background(), []uuid.UUID{id}, confirm); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := count(t, b.raw, `SELECT count(*) FROM documents WHERE status = 'uploaded'`); n != 16 {
		t.Errorf("%d fit in 50 bytes of 3 each, want 16", n)
	}
	if n := count(t, b.raw, `SELECT count(*) FROM object_deletions`); n != 14 {
		t.Errorf("%d objects given up, want 14", n)
	}
	b.checkQuotas(t)
}

func TestADecisionThatBreaksTheRulesChangesNothing(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.alice, "f", 5)
	for name, decide := range map[string]decision{
		"charge that is not the size": func(d *schema.Document, q *schema.Quota) schema.Decision {
			dec := confirm(d, q)
			d.ChargedBytes++
			return dec
		},
		"unknown status": func(d *schema.Document, q *schema.Quota) schema.Decision {
			dec := confirm(d, q)
			d.Status = "half"
			return dec
		},
		"negative use": func(d *schema.Document, q *schema.Quota) schema.Decision {
			q.UsedBytes = -1
			d.Version++
			return schema.Decision{Changed: true}
		},
	} {
		if _, err := b.worker.Transition(t.Context(), []uuid.UUID{d.ID}, decide); err == nil || errors.Is(err, postgres.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := b.transition(t, d.ID, func(*schema.Document, *schema.Quota) schema.Decision { return schema.Decision{} }); got.Status != schema.StatusPending || got.Version != 1 {
		t.Errorf("changed: %+v", got)
	}
}

func TestTransitionReplacesTopicsWithThoseThatAreTheUsers(t *testing.T) {
	b := setup(t)
	system := schema.Topic{ID: newID(t), Name: "System"}
	must(t, b.api.ForUser(b.administrator).CreateTopic(t.Context(), system))
	own, foreign := schema.Topic{ID: newID(t), UserID: &b.alice, Name: "Own"}, schema.Topic{ID: newID(t), UserID: &b.bob, Name: "Foreign"}
	must(t, b.api.ForUser(b.alice).CreateTopic(t.Context(), own))
	must(t, b.api.ForUser(b.bob).CreateTopic(t.Context(), foreign))
	d := b.uploaded(t, b.alice, "f", 1)
	classify := func(confidence int, topics ...uuid.UUID) decision {
		return func(d *schema.Document, _ *schema.Quota) schema.Decision {
			set := []schema.DocumentTopic{}
			for _, id := range topics {
				set = append(set, schema.DocumentTopic{TopicID: id, Confidence: confidence})
			}
			return schema.Decision{Topics: set}
		}
	}
	names := func() string {
		view, err := b.api.ForUser(b.alice).Document(t.Context(), d.ID)
		must(t, err)
		text := ""
		for _, topic := range view.Topics {
			text += fmt.Sprintf("%s/%s/%d ", topic.Name, topic.Scope, topic.Confidence)
		}
		return text
	}
	b.transition(t, d.ID, classify(70, own.ID, system.ID, foreign.ID, newID(t), own.ID))
	if got := names(); got != "Own/user/70 System/system/70 " {
		t.Errorf("topics %q", got)
	}
	b.transition(t, d.ID, classify(60, system.ID))
	if got := names(); got != "System/system/60 " {
		t.Errorf("topics %q", got)
	}
	// The API's role may do the same for its own user.
	_, err := b.api.ForUser(b.alice).Transition(t.Context(), []uuid.UUID{d.ID}, classify(100, own.ID, foreign.ID))
	must(t, err)
	if got := names(); got != "Own/user/100 " {
		t.Errorf("topics %q", got)
	}
	b.transition(t, d.ID, classify(1))
	if got := names(); got != "" {
		t.Errorf("topics %q", got)
	}
}

// A topic that is deleted while it is being assigned is left out, and nothing fails.
func TestTopicsDeletedWhileTheyAreAssigned(t *testing.T) {
	b := setup(t)
	d := b.uploaded(t, b.alice, "f", 1)
	for range 20 {
		topic := schema.Topic{ID: newID(t), UserID: &b.alice, Name: "Short-lived"}
		must(t, b.api.ForUser(b.alice).CreateTopic(t.Context(), topic))
		var group sync.WaitGroup
		var assign, remove error
		group.Go(func() {
			_, assign = b.worker.Transition(context.Background(), []uuid.UUID{d.ID}, func(*schema.Document, *schema.Quota) schema.Decision {
				return schema.Decision{Topics: []schema.DocumentTopic{{TopicID: topic.ID, Confidence: 1}}}
			})
		})
		group.Go(func() { remove = b.api.ForUser(b.alice).DeleteTopic(context.Background(), schema.ScopeUser, topic.ID) })
		group.Wait()
		must(t, errors.Join(assign, remove))
	}
	if n := count(t, b.raw, `SELECT count(*) FROM document_topics`); n != 0 {
		t.Errorf("%d assignments of deleted topics", n)
	}
}

// guard makes the database itself check, at every commit, that use is the sum of the charges and
// never grew beyond the limit, and that each change of a document raises its version by one.
func (b *bundle) guard() {
	b.raw.MustExec(`
		CREATE FUNCTION check_quota() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
		DECLARE charged bigint;
		BEGIN
			SELECT coalesce(sum(charged_bytes), 0) INTO charged FROM documents WHERE user_id = NEW.user_id;
			IF (SELECT used_bytes FROM quotas WHERE user_id = NEW.user_id) <> charged THEN RAISE EXCEPTION 'drift'; END IF;
			IF NEW.used_bytes > OLD.used_bytes AND NEW.used_bytes > NEW.limit_bytes THEN RAISE EXCEPTION 'over the limit'; END IF;
			RETURN NULL;
		END $$;
		CREATE CONSTRAINT TRIGGER check_quota AFTER UPDATE ON quotas DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_quota();
		CREATE FUNCTION check_version() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.version <> OLD.version + 1 AND (NEW.status, NEW.reason, NEW.charged_bytes, NEW.etag) IS DISTINCT FROM (OLD.status, OLD.reason, OLD.charged_bytes, OLD.etag)
			THEN RAISE EXCEPTION 'changed without a version'; END IF;
			IF NEW.version NOT IN (OLD.version, OLD.version + 1) THEN RAISE EXCEPTION 'version jumped'; END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER check_version BEFORE UPDATE ON documents FOR EACH ROW EXECUTE FUNCTION check_version();`)
}

// operations are what may happen to a document, in any status.
var operations = map[string]decision{
	"confirm": confirm,
	"overwritten": func(d *schema.Document, q *schema.Quota) schema.Decision {
		return d.Confirm(schema.Object{Size: d.Size, ETag: "other"}, q, time.Now())
	},
	"wrong size": func(d *schema.Document, q *schema.Quota) schema.Decision {
		return d.Confirm(schema.Object{Size: d.Size + 1, ETag: "etag"}, q, time.Now())
	},
	"classified": func(d *schema.Document, _ *schema.Quota) schema.Decision {
		return d.Classify(nil, "p", "m", time.Now())
	},
	"failed": func(d *schema.Document, _ *schema.Quota) schema.Decision {
		return d.Fail(schema.ReasonBroken, time.Now())
	},
	"expire": func(d *schema.Document, _ *schema.Quota) schema.Decision {
		return d.Expire(time.Now().Add(2 * time.Hour))
	},
	"delete": remove,
	"gone":   gone,
	"quarantine": func(d *schema.Document, q *schema.Quota) schema.Decision {
		return d.Quarantine(q, time.Now())
	},
}

func operationNames() []string {
	return []string{"confirm", "overwritten", "wrong size", "classified", "failed", "expire", "delete", "gone", "quarantine"}
}

// The database follows the pure transitions, for one caller after another.
func TestTransitionFollowsTheModel(t *testing.T) {
	b := setup(t)
	b.guard()
	users := []uuid.UUID{b.alice, b.bob, b.administrator}
	rapid.Check(t, func(r *rapid.T) {
		b.raw.MustExec(`DELETE FROM documents; DELETE FROM object_deletions; UPDATE quotas SET used_bytes = 0`)
		model, quotas := map[uuid.UUID]*schema.Document{}, map[uuid.UUID]*schema.Quota{}
		for _, user := range users {
			limit := rapid.Int64Range(0, 60).Draw(r, "limit")
			quotas[user] = &schema.Quota{UserID: user, LimitBytes: limit}
			b.raw.MustExec(`UPDATE quotas SET limit_bytes = $2 WHERE user_id = $1`, user, limit)
		}
		var ids []uuid.UUID
		for range rapid.IntRange(1, 8).Draw(r, "documents") {
			user := rapid.SampledFrom(users).Draw(r, "user")
			id, _ := uuid.NewV7()
			d := schema.NewDocument(id, user, "f", "t", rapid.Int64Range(0, 30).Draw(r, "size"), time.Now().Add(-time.Minute))
			if !quotas[user].Fits(d.Size) {
				continue
			}
			if _, _, err := b.api.ForUser(user).CreateDocument(context.Background(), d, "", 1000); err != nil {
				r.Fatalf("create: %v", err)
			}
			model[id], ids = &d, append(ids, id)
		}
		if len(ids) == 0 {
			return
		}
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			batch := rapid.SliceOfN(rapid.SampledFrom(ids), 1, 6).Draw(r, "batch")
			operation := rapid.SampledFrom(operationNames()).Draw(r, "operation")
			docs, err := b.worker.Transition(context.Background(), batch, operations[operation])
			if err != nil {
				r.Fatalf("%s: %v", operation, err)
			}
			for _, got := range docs {
				want := model[got.ID]
				operations[operation](want, quotas[want.UserID])
				if got.Status != want.Status || got.Version != want.Version || got.ChargedBytes != want.ChargedBytes || got.Reason != want.Reason ||
					(got.GoneAt == nil) != (want.GoneAt == nil) {
					r.Fatalf("%s: %+v, want %+v", operation, got, want)
				}
			}
			for user, q := range quotas {
				var used int64
				if err := b.raw.Get(&used, `SELECT used_bytes FROM quotas WHERE user_id = $1`, user); err != nil || used != q.UsedBytes {
					r.Fatalf("%s: %d used, want %d: %v", operation, used, q.UsedBytes, err)
				}
			}
		}
		b.checkQuotas(r)
	})
}

// Overlapping batches, each in its own order, neither deadlock nor miscount, whatever else goes on.
func TestTransitionsSideBySide(t *testing.T) {
	b := setup(t)
	b.guard()
	b.raw.MustExec(`UPDATE quotas SET limit_bytes = 400`)
	users := []uuid.UUID{b.alice, b.bob, b.administrator}
	ids := make([]uuid.UUID, 60)
	for i := range ids {
		ids[i] = b.create(t, users[i%len(users)], "f", int64(i%20)).ID
	}
	deadlocks := func() int {
		return count(t, b.raw, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`)
	}
	before := deadlocks()
	ctx, names := context.Background(), operationNames()
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			for range 25 {
				batch := make([]uuid.UUID, 1+random.IntN(30))
				for i := range batch {
					batch[i] = ids[random.IntN(len(ids))]
				}
				docs, err := b.worker.Transition(ctx, batch, operations[names[random.IntN(len(names))]])
				if err == nil {
					docs, err = b.worker.MarkUnpublished(ctx, batch)
				}
				if err == nil {
					err = b.worker.MarkPublished(ctx, docs)
				}
				if err == nil && random.IntN(4) == 0 {
					user := users[random.IntN(len(users))]
					d := schema.NewDocument(uuid.New(), user, "f", "t", 0, time.Now())
					_, _, err = b.api.ForUser(user).CreateDocument(ctx, d, fmt.Sprint("key ", random.IntN(3)), 1000)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	b.raw.MustExec(`SELECT pg_stat_force_next_flush()`)
	if n := deadlocks() - before; n != 0 {
		t.Errorf("%d deadlocks", n)
	}
	b.checkQuotas(t)
}

func BenchmarkTransition(bench *testing.B) {
	b := setup(bench)
	b.raw.MustExec(`UPDATE quotas SET limit_bytes = 1099511627776`)
	for _, size := range []int{1, 256} {
		for name, db := range map[string]*postgres.DB{"worker": b.worker, "api": b.api.ForUser(b.alice)} {
			bench.Run(fmt.Sprintf("%s/%d", name, size), func(bench *testing.B) {
				for bench.Loop() {
					bench.StopTimer()
					ids := make([]uuid.UUID, size)
					b.raw.MustExec(`DELETE FROM documents`)
					b.raw.MustExec(`UPDATE quotas SET used_bytes = 0`)
					for i := range ids {
						ids[i] = b.create(bench, b.alice, "f", 1).ID
					}
					bench.StartTimer()
					if _, err := db.Transition(bench.Context(), ids, confirm); err != nil {
						bench.Fatal(err)
					}
				}
			})
		}
	}
}
