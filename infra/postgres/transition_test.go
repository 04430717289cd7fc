package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"intray/infra/postgres"
	"intray/schema"
)

func TestTransitionConfirmsAndCharges(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.alice, "a.txt", 100)
	got := b.transition(t, d.ID, confirm)
	if got.Status != schema.StatusUploaded || got.ChargedBytes != 100 || got.Version != 2 ||
		got.UnpublishedAt == nil {
		t.Fatalf("got %+v, want an unpublished uploaded document of version 2", got)
	}
	read, err := b.worker.DocumentsByKey(t.Context(), []string{d.ObjectKey, "documents/unknown"})
	must(t, err)
	if len(read) != 1 || read[0].MessageID() != got.MessageID() ||
		!read[0].UploadedAt.Equal(*got.UploadedAt) ||
		!read[0].UnpublishedAt.Equal(*got.UnpublishedAt) {
		t.Fatalf("stored document: got %+v, want %+v", read, got)
	}
	if again := b.transition(t, d.ID, confirm); again.Version != 2 {
		t.Fatalf("second confirm: got version %d, want 2", again.Version)
	}
	b.checkQuotas(t)
}

func TestTransitionDecidesEachDocumentOnce(t *testing.T) {
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
	decide := func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
		if quotas[d.UserID] == nil {
			quotas[d.UserID] = q
		}
		if quotas[d.UserID] != q || q.UserID != d.UserID {
			t.Errorf("document %s: got a quota that is not the one of its owner", d.ID)
		}
		seen = append(seen, *d)
		return confirm(d, q, now)
	}
	docs, err := b.worker.Transition(t.Context(), ids, decide)
	must(t, err)
	inOrder := slices.IsSortedFunc(seen, func(a, b schema.Document) int {
		return strings.Compare(a.ID.String(), b.ID.String())
	})
	if len(docs) != 3 || len(seen) != 3 || !inOrder {
		t.Fatalf("got %d returned documents and %d decisions, in order %v; want 3 and 3 in order",
			len(docs), len(seen), inOrder)
	}
	b.checkQuotas(t)
}

func TestConcurrentTransitionsKeepTheQuota(t *testing.T) {
	b := setup(t)
	b.raw.MustExec(`UPDATE quotas SET limit_bytes = 50 WHERE user_id = $1`, b.alice)
	ids := make([]uuid.UUID, 30)
	for i := range ids {
		ids[i] = b.create(t, b.alice, "f", 3).ID
	}
	var group sync.WaitGroup
	for _, id := range ids {
		group.Go(func() {
			_, err := b.worker.Transition(context.Background(), []uuid.UUID{id}, confirm)
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := count(t, b.raw, `SELECT count(*) FROM documents WHERE status = 'uploaded'`); n != 16 {
		t.Errorf("got %d uploaded documents of 3 bytes with a limit of 50, want 16", n)
	}
	if n := count(t, b.raw, `SELECT count(*) FROM object_deletions`); n != 14 {
		t.Errorf("got %d object deletions, want 14", n)
	}
	b.checkQuotas(t)
}

func TestInvalidDecisionChangesNothing(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.alice, "f", 5)
	for name, decide := range map[string]postgres.DecideFunc{
		"wrong charge": func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
			dec := confirm(d, q, now)
			d.ChargedBytes++
			return dec
		},
		"unknown status": func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
			dec := confirm(d, q, now)
			d.Status = "half"
			return dec
		},
		"negative use": func(d *schema.Document, q *schema.Quota, _ time.Time) schema.Decision {
			q.UsedBytes = -1
			d.Version++
			return schema.Decision{Changed: true}
		},
	} {
		_, err := b.worker.Transition(t.Context(), []uuid.UUID{d.ID}, decide)
		if err == nil || errors.Is(err, postgres.ErrUnavailable) {
			t.Errorf("%s: got error %v, want one that is not ErrUnavailable", name, err)
		}
	}
	docs, err := b.worker.DocumentsByKey(t.Context(), []string{d.ObjectKey})
	must(t, err)
	if got := docs[0]; got.Status != schema.StatusPending || got.Version != 1 {
		t.Errorf("got %+v, want an unchanged document", got)
	}
}

func TestTransitionIgnoresTopicsOfOtherUsers(t *testing.T) {
	b := setup(t)
	system := b.topic(t, nil, "System")
	own, bobs := b.topic(t, &b.alice, "Own"), b.topic(t, &b.bob, "Bob's")
	d := b.uploaded(t, b.alice, "f", 1)
	classify := func(confidence int, topics ...uuid.UUID) postgres.DecideFunc {
		return func(d *schema.Document, _ *schema.Quota, _ time.Time) schema.Decision {
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
	expect := func(want string) {
		t.Helper()
		if got := names(); got != want {
			t.Errorf("got topics %q, want %q", got, want)
		}
	}
	b.transition(t, d.ID, classify(70, own, system, bobs, newID(t), own))
	expect("Own/user/70 System/system/70 ")
	b.transition(t, d.ID, classify(60, system))
	expect("System/system/60 ")
	// The role api can do the same for its user.
	_, err := b.api.ForUser(b.alice).
		Transition(t.Context(), []uuid.UUID{d.ID}, classify(100, own, bobs))
	must(t, err)
	expect("Own/user/100 ")
	b.transition(t, d.ID, classify(1))
	expect("")
}

// TestTransitionDuringTopicDeletion checks that a topic that is deleted while it is assigned is
// ignored.
func TestTransitionDuringTopicDeletion(t *testing.T) {
	b := setup(t)
	d := b.uploaded(t, b.alice, "f", 1)
	for range 20 {
		topic := schema.Topic{ID: newID(t), UserID: &b.alice, Name: "Short-lived"}
		must(t, b.api.ForUser(b.alice).CreateTopic(t.Context(), topic))
		var group sync.WaitGroup
		var assign, remove error
		group.Go(func() {
			setTopic := func(*schema.Document, *schema.Quota, time.Time) schema.Decision {
				topics := []schema.DocumentTopic{{TopicID: topic.ID, Confidence: 1}}
				return schema.Decision{Topics: topics}
			}
			_, assign = b.worker.Transition(context.Background(), []uuid.UUID{d.ID}, setTopic)
		})
		group.Go(func() {
			remove = b.api.ForUser(b.alice).
				DeleteTopic(context.Background(), schema.ScopeUser, topic.ID)
		})
		group.Wait()
		must(t, errors.Join(assign, remove))
	}
	if n := count(t, b.raw, `SELECT count(*) FROM document_topics`); n != 0 {
		t.Errorf("got %d assignments of deleted topics, want 0", n)
	}
}

// addChecks adds triggers that check at every commit that the used bytes are the sum of the charges
// and were not increased above the limit, and that each change of a document increases its version
// by one.
func (b *bundle) addChecks() {
	b.raw.MustExec(`
		CREATE FUNCTION check_quota() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
		DECLARE charged bigint;
		BEGIN
			SELECT coalesce(sum(charged_bytes), 0) INTO charged
				FROM documents WHERE user_id = NEW.user_id;
			IF (SELECT used_bytes FROM quotas WHERE user_id = NEW.user_id) <> charged THEN
				RAISE EXCEPTION 'the used bytes are not the sum of the charges';
			END IF;
			IF NEW.used_bytes > OLD.used_bytes AND NEW.used_bytes > NEW.limit_bytes THEN
				RAISE EXCEPTION 'the used bytes exceed the limit';
			END IF;
			RETURN NULL;
		END $$;
		CREATE CONSTRAINT TRIGGER check_quota AFTER UPDATE ON quotas
			DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_quota();
		CREATE FUNCTION check_version() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.version <> OLD.version + 1
					AND (NEW.status, NEW.reason, NEW.charged_bytes, NEW.etag)
					IS DISTINCT FROM (OLD.status, OLD.reason, OLD.charged_bytes, OLD.etag) THEN
				RAISE EXCEPTION 'the document changed and its version did not';
			END IF;
			IF NEW.version NOT IN (OLD.version, OLD.version + 1) THEN
				RAISE EXCEPTION 'the version increased by more than one';
			END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER check_version BEFORE UPDATE ON documents
			FOR EACH ROW EXECUTE FUNCTION check_version();`)
}

// operations are the transitions that can be applied to a document in any status.
var operations = map[string]postgres.DecideFunc{
	"confirm": confirm,
	"overwritten": func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
		return d.Confirm(schema.Object{Size: d.Size, ETag: "other"}, q, now)
	},
	"wrong size": func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
		return d.Confirm(schema.Object{Size: d.Size + 1, ETag: "etag"}, q, now)
	},
	"classified": func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
		return d.Classify(nil, "p", "m", now)
	},
	"failed": func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
		return d.Fail(schema.ReasonBroken, now)
	},
	"expire": func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
		return d.Expire(now.Add(2 * time.Hour))
	},
	"delete": remove,
	"gone":   gone,
	"quarantine": func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
		return d.Quarantine(q, now)
	},
}

func operationNames() []string {
	return []string{
		"confirm", "overwritten", "wrong size", "classified", "failed", "expire", "delete", "gone",
		"quarantine",
	}
}

// TestTransitionMatchesModel applies random transitions to the database and to values in memory,
// and compares the results.
func TestTransitionMatchesModel(t *testing.T) {
	b := setup(t)
	b.addChecks()
	users := []uuid.UUID{b.alice, b.bob, b.administrator}
	rapid.Check(t, func(r *rapid.T) {
		b.raw.MustExec(`DELETE FROM documents; DELETE FROM object_deletions;
			UPDATE quotas SET used_bytes = 0`)
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
			size := rapid.Int64Range(0, 30).Draw(r, "size")
			d := schema.NewDocument(id, user, "f", "t", size, time.Now().Add(-time.Minute))
			if !quotas[user].Fits(d.Size) {
				continue
			}
			_, _, err := b.api.ForUser(user).CreateDocument(context.Background(), d, "", 1000)
			if err != nil {
				r.Fatalf("create a document: %v", err)
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
				operations[operation](want, quotas[want.UserID], time.Now())
				if got.Status != want.Status || got.Version != want.Version ||
					got.ChargedBytes != want.ChargedBytes || got.Reason != want.Reason ||
					(got.GoneAt == nil) != (want.GoneAt == nil) {
					r.Fatalf("%s: got %+v, want %+v", operation, got, want)
				}
			}
			for user, q := range quotas {
				var used int64
				err := b.raw.Get(&used, `SELECT used_bytes FROM quotas WHERE user_id = $1`, user)
				if err != nil || used != q.UsedBytes {
					r.Fatalf("%s: got %d used bytes and error %v, want %d",
						operation, used, err, q.UsedBytes)
				}
			}
		}
		b.checkQuotas(r)
	})
}

// TestConcurrentTransitions checks that overlapping batches in different orders cause no deadlock
// and keep the quotas correct, while other calls write the same documents.
func TestConcurrentTransitions(t *testing.T) {
	b := setup(t)
	b.addChecks()
	b.raw.MustExec(`UPDATE quotas SET limit_bytes = 400`)
	users := []uuid.UUID{b.alice, b.bob, b.administrator}
	ids := make([]uuid.UUID, 60)
	for i := range ids {
		ids[i] = b.create(t, users[i%len(users)], "f", int64(i%20)).ID
	}
	deadlocks := func() int {
		return count(t, b.raw,
			`SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`)
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
				operation := operations[names[random.IntN(len(names))]]
				docs, err := b.worker.Transition(ctx, batch, operation)
				if err == nil {
					docs, err = b.worker.MarkUnpublished(ctx, batch)
				}
				if err == nil {
					err = b.worker.MarkPublished(ctx, docs)
				}
				if err == nil && random.IntN(4) == 0 {
					user := users[random.IntN(len(users))]
					d := schema.NewDocument(uuid.New(), user, "f", "t", 0, time.Now())
					key := fmt.Sprint("key ", random.IntN(3))
					_, _, err = b.api.ForUser(user).CreateDocument(ctx, d, key, 1000)
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
		t.Errorf("got %d deadlocks, want 0", n)
	}
	b.checkQuotas(t)
}

func BenchmarkTransition(bench *testing.B) {
	b := setup(bench)
	b.raw.MustExec(`UPDATE quotas SET limit_bytes = 1099511627776`)
	for _, size := range []int{1, 256} {
		for name, db := range map[string]*postgres.DB{
			"worker": b.worker,
			"api":    b.api.ForUser(b.alice),
		} {
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

// A transition that does not rename a document does not write its name, because the server would
// then compute filename_key again.
func TestOnlyRenamingWritesTheFilename(t *testing.T) {
	b := setup(t)
	b.raw.MustExec(`CREATE TABLE renamings (n int);
		GRANT INSERT ON renamings TO PUBLIC;
		CREATE FUNCTION note_renaming() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN INSERT INTO renamings VALUES (1); RETURN NEW; END $$;
		CREATE TRIGGER note_renaming BEFORE UPDATE OF filename ON documents
			FOR EACH ROW EXECUTE FUNCTION note_renaming()`)
	d := b.uploaded(t, b.alice, "a", 1)
	edit := func(e schema.Edit) {
		t.Helper()
		b.transition(t, d.ID, func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
			return d.Edit(e, now)
		})
	}
	edit(schema.Edit{Topics: &[]uuid.UUID{}})
	if n := count(t, b.raw, `SELECT count(*) FROM renamings`); n != 0 {
		t.Errorf("got %d writes of the filename without a new one, want none", n)
	}
	edit(schema.Edit{Filename: new("b")})
	if n := count(t, b.raw, `SELECT count(*) FROM renamings`); n != 1 {
		t.Errorf("got %d writes of the filename after a new one, want 1", n)
	}
}
