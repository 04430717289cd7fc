package classify_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/consumers/classify/builtin"
	"intray/consumers/runner"
	"intray/infra/ai"
	"intray/schema"
)

// manyTopics gives a user more topics and keywords than are compared with a text in a batch.
func (b *bundle) manyTopics(user uuid.UUID) {
	b.Exec(`INSERT INTO topics (id, user_id, name, keywords)
		SELECT gen_random_uuid(), $1, 'Topic ' || i,
			array(SELECT 'keyword' || i || 'x' || k FROM generate_series(1, 50) AS k)
		FROM generate_series(1, 60) AS i`, user)
}

// A text of a user with many topics is not classified in a batch with the texts of others.
func TestTextsOfUsersWithManyTopicsAreHandledAlone(t *testing.T) {
	b := setupBuiltin(t)
	b.manyTopics(b.Alice)
	alices, bobs := b.Uploaded(b.Alice, "alice's words"), b.Uploaded(b.Bob, "bob's words")
	next := b.Uploaded(b.Alice, "more words")
	inBatch := func(d schema.Document) bool {
		return b.classifier.Lane(t.Context(), d.Event()).Batch > 1
	}
	if !inBatch(alices) || !inBatch(next) {
		t.Fatal("got a lane without batches before the topics were read")
	}
	errs := b.handle(t, alices, bobs)
	if !runner.Postponed(errs[0]) || errs[1] != nil {
		t.Errorf("got %v, want a postponement and no error", errs)
	}
	b.Expect(bobs.ID, "classified")
	if inBatch(alices) || inBatch(next) || !inBatch(b.Uploaded(b.Bob, "words")) {
		t.Error("want lanes without batches for the documents of alice only")
	}
	if err := b.classify(t, alices, 0); err != nil {
		t.Errorf("alone: got %v, want no error", err)
	}
	b.Expect(alices.ID, "classified")

	b.Exec(`DELETE FROM topics WHERE user_id = $1`, b.Alice)
	if err := b.classify(t, next, 0); err != nil {
		t.Errorf("with few topics: got %v, want no error", err)
	}
	if last := b.Uploaded(b.Alice, "words"); !inBatch(last) {
		t.Error("got a lane without batches after the topics were deleted")
	}
}

// A batch that contains nothing else occupies a place of the few batches all the same.
func TestBatchOfOneTextOfAUserWithManyTopics(t *testing.T) {
	b := setupBuiltin(t)
	b.manyTopics(b.Alice)
	d := b.Uploaded(b.Alice, "alice's words")
	if errs := b.handle(t, d); !runner.Postponed(errs[0]) {
		t.Errorf("got %v, want a postponement until it has another lane", errs)
	}
	b.Expect(d.ID, "uploaded")
	if err := b.classify(t, d, 0); err != nil {
		t.Errorf("in another lane: got %v, want no error", err)
	}
	b.Expect(d.ID, "classified")
}

// Batches of a user with many topics and of another user are handled by the consumer.
func TestManyTopicsDoNotDelayAnotherUser(t *testing.T) {
	b := setupBuiltin(t)
	b.manyTopics(b.Alice)
	proceed := make(chan struct{})
	b.config.Providers[builtin.Provider] = providerFunc(
		func(ctx context.Context, r ai.Request) (ai.Answer, error) {
			if len(r.Topics) > 0 {
				select {
				case <-proceed:
				case <-ctx.Done():
					return ai.Answer{}, ctx.Err()
				}
			}
			return first(r)
		})
	b.config.QuickBudget = time.Hour // the cost of the topics alone decides
	b.build(t)
	backlog := b.backlog(t, b.Alice, 40, "alice's words")
	bobs := b.Uploaded(b.Bob, "bob's words")
	b.publish(t, append(backlog, bobs)...)
	stop := b.consume(t)
	b.Eventually("the other user's document is classified", func() bool {
		return b.Status(bobs.ID) == "classified"
	})
	close(proceed)
	b.Eventually("the backlog is classified", func() bool {
		return b.Count(`SELECT count(*) FROM documents WHERE status = 'classified'`) == 41
	})
	stop()
}

// When the budget of a batch ends, what is finished is stored and the rest is handled alone.
func TestBudgetOfABatch(t *testing.T) {
	b := setupBuiltin(t)
	b.config.Providers[builtin.Provider] = providerFunc(
		func(ctx context.Context, r ai.Request) (ai.Answer, error) {
			if r.Text == "slow" {
				<-ctx.Done()
				return ai.Answer{}, fmt.Errorf("classify: %w", ctx.Err())
			}
			return first(r)
		})
	b.config.QuickBudget = time.Second
	b.build(t)
	before, slow := b.Uploaded(b.Alice, "words"), b.Uploaded(b.Bob, "slow")
	after := b.Uploaded(b.Alice, "words")
	errs := b.handle(t, before, slow, after)
	if errs[0] != nil || !runner.Postponed(errs[1]) {
		t.Errorf("got %v, want no error and a postponement", errs[:2])
	}
	b.Expect(before.ID, "classified")
	b.Expect(slow.ID, "uploaded")
	if lane := b.classifier.Lane(t.Context(), slow.Event()); lane.Batch > 1 {
		t.Errorf("got lane %+v after the postponement, want one without batches", lane)
	}
	// The last one is either classified or postponed: the provider is faster than the budget.
	if errs[2] != nil && !runner.Postponed(errs[2]) {
		t.Errorf("got %v for the last document, want no error or a postponement", errs[2])
	}
	if err := b.classify(t, after, 0); err != nil {
		t.Errorf("alone: got %v, want no error", err)
	}
	b.Expect(after.ID, "classified")
}
