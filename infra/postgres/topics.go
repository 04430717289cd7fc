package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"intray/schema"
)

const topicColumns = `id, user_id, name, description, keywords, suggested`

// A TopicPatch contains the new values of a topic. Fields that are nil do not change.
type TopicPatch struct {
	Name        *string
	Description *string
	Keywords    *[]string
	// Suggested is false to accept a suggested topic.
	Suggested *bool
}

// topicRow is the scan target for a schema.Topic, whose keywords are an array.
type topicRow struct {
	schema.Topic
	Keywords pq.StringArray `db:"keywords"`
}

func (tx *tx) selectTopics(
	ctx context.Context, clauses string, args ...any,
) ([]schema.Topic, error) {
	var rows []topicRow
	err := tx.SelectContext(ctx, &rows, `SELECT `+topicColumns+` FROM topics `+clauses, args...)
	if err != nil {
		return nil, err
	}
	topics := make([]schema.Topic, len(rows))
	for i, r := range rows {
		topics[i] = r.topic()
	}
	return topics, nil
}

func (r topicRow) topic() schema.Topic {
	t := r.Topic
	t.Keywords = r.Keywords
	return t
}

// Topics returns the topics that are available to the user that the DB is bound to: the system
// topics, then the user's own, each ordered by name.
func (db *DB) Topics(ctx context.Context) (topics []schema.Topic, err error) {
	if err := db.requireUser(); err != nil {
		return nil, err
	}
	err = db.inTransaction(ctx, func(tx *tx) error {
		topics, err = tx.availableTopics(ctx, tx.user)
		return err
	})
	return topics, wrap(ctx, err, "list topics of user %s", db.user)
}

// availableTopics returns the system topics and the user's own topics.
func (tx *tx) availableTopics(ctx context.Context, user uuid.UUID) ([]schema.Topic, error) {
	return tx.selectTopics(ctx, `WHERE user_id IS NULL OR user_id = $1
		ORDER BY user_id IS NOT NULL, lower(name), id`, user)
}

// SystemTopics returns the system topics, ordered by name.
func (db *DB) SystemTopics(ctx context.Context) (topics []schema.Topic, err error) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		topics, err = tx.selectTopics(ctx, `WHERE user_id IS NULL ORDER BY lower(name), id`)
		return err
	})
	return topics, wrap(ctx, err, "list system topics")
}

// CreateTopic stores a topic. It is a system topic if t.UserID is nil, and otherwise a topic of the
// user that the DB is bound to. It fails with schema.CodeNameTaken, and with
// schema.CodeTooManyTopics if there are schema.MaxTopics already. For a system topic it fails with
// schema.CodeForbidden if the user is not an administrator.
func (db *DB) CreateTopic(ctx context.Context, t schema.Topic) error {
	if err := db.requireUser(); err != nil {
		return err
	}
	tx, err := db.begin(ctx)
	if err != nil {
		return wrap(ctx, err, "create topic %s", t.ID)
	}
	defer func() { _ = tx.Rollback() }()
	if err := tx.checkTopicAccess(t.Scope()); err != nil {
		return err
	}
	if t.UserID != nil {
		t.UserID = &tx.user
	}
	if err := tx.insertTopic(ctx, t); err != nil {
		_ = tx.Rollback()
		return wrap(ctx, db.translateTopicError(ctx, err, t.Scope(), t.Name), "create topic %s", t.ID)
	}
	return wrap(ctx, tx.Commit(), "create topic %s", t.ID)
}

func (tx *tx) insertTopic(ctx context.Context, t schema.Topic) error {
	keywords := t.Keywords
	if keywords == nil {
		keywords = []string{}
	}
	_, err := tx.ExecContext(ctx,
		`INSERT INTO topics (`+topicColumns+`) VALUES ($1, $2, $3, $4, $5, $6)`,
		t.ID, t.UserID, t.Name, t.Description, array(keywords), t.Suggested)
	return err
}

// UpdateTopic applies the patch to a topic of the scope and returns the topic. It fails with
// schema.CodeNotFound, also for another user's topic, and with schema.CodeNameTaken. For a system
// topic it fails with schema.CodeForbidden if the user is not an administrator.
func (db *DB) UpdateTopic(
	ctx context.Context, scope schema.Scope, id uuid.UUID, p TopicPatch,
) (schema.Topic, error) {
	if err := db.requireUser(); err != nil {
		return schema.Topic{}, err
	}
	tx, err := db.begin(ctx)
	if err != nil {
		return schema.Topic{}, wrap(ctx, err, "change topic %s", id)
	}
	defer func() { _ = tx.Rollback() }()
	if err := tx.checkTopicAccess(scope); err != nil {
		return schema.Topic{}, err
	}
	var keywords any
	if p.Keywords != nil {
		keywords = array(append([]string{}, *p.Keywords...))
	}
	var row topicRow
	err = tx.GetContext(ctx, &row, `
		UPDATE topics SET name = coalesce($3, name), description = coalesce($4, description),
			keywords = coalesce($5::text[], keywords), suggested = coalesce($6, suggested)
		WHERE id = $1 AND user_id IS NOT DISTINCT FROM $2::uuid RETURNING `+topicColumns,
		id, tx.topicOwner(scope), p.Name, p.Description, keywords, p.Suggested)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return schema.Topic{}, topicNotFound()
	case err != nil && p.Name != nil:
		_ = tx.Rollback()
		return schema.Topic{}, wrap(ctx, db.translateTopicError(ctx, err, scope, *p.Name),
			"change topic %s", id)
	case err != nil:
		return schema.Topic{}, wrap(ctx, err, "change topic %s", id)
	}
	return row.topic(), wrap(ctx, tx.Commit(), "change topic %s", id)
}

// DeleteTopic removes a topic of the scope from all documents and deletes it. It fails with
// schema.CodeNotFound and schema.CodeForbidden, as UpdateTopic does. If it fails otherwise, the
// topic may already be removed from some documents.
func (db *DB) DeleteTopic(ctx context.Context, scope schema.Scope, id uuid.UUID) error {
	if err := db.requireUser(); err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		err := db.removeTopicFromDocuments(ctx, scope, id)
		if err == nil {
			err = db.deleteTopic(ctx, scope, id)
		}
		// A deadlock can occur with a concurrent transaction that assigns the topic to a document.
		if attempt < maxTransactionAttempts && ctx.Err() == nil && hasCode(err, deadlockDetected) {
			continue
		}
		return wrap(ctx, err, "delete topic %s", id)
	}
}

// topicRemovalRows is the number of documents from which a transaction removes a deleted topic.
// They stay locked until it ends, so there are few.
const topicRemovalRows = 200

// removeTopicFromDocuments removes a topic of the scope from all documents, in a transaction for
// each batch of them. If the user may not delete the topic, it does nothing.
func (db *DB) removeTopicFromDocuments(
	ctx context.Context, scope schema.Scope, id uuid.UUID,
) error {
	for removed := topicRemovalRows; removed == topicRemovalRows; {
		err := db.inTransaction(ctx, func(tx *tx) error {
			if err := tx.checkTopicAccess(scope); err != nil {
				return err
			}
			return tx.GetContext(ctx, &removed, `
				SELECT remove_topic_from_documents(id, $3) FROM topics
				WHERE id = $1 AND user_id IS NOT DISTINCT FROM $2::uuid`,
				id, tx.topicOwner(scope), topicRemovalRows)
		})
		if errors.Is(err, sql.ErrNoRows) {
			return topicNotFound()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// deleteTopic deletes a topic. The foreign key removes it from documents that have been given it
// since it was removed from all.
func (db *DB) deleteTopic(ctx context.Context, scope schema.Scope, id uuid.UUID) error {
	tx, err := db.begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := tx.checkTopicAccess(scope); err != nil {
		return err
	}
	result, err := tx.ExecContext(ctx, `
		DELETE FROM topics WHERE id = $1 AND user_id IS NOT DISTINCT FROM $2::uuid`,
		id, tx.topicOwner(scope))
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(topicNotFound(), err)
	}
	return tx.Commit()
}

// checkTopicAccess fails with schema.CodeForbidden if the user may not change topics of the scope.
// Row-level security would reject the change, too, but without a message for the user.
func (tx *tx) checkTopicAccess(scope schema.Scope) error {
	if scope == schema.ScopeSystem && tx.role != schema.RoleAdmin {
		return schema.Errorf(schema.CodeForbidden, "Only administrators can change system topics.")
	}
	return nil
}

// topicOwner returns the user_id of the topics of the scope.
func (tx *tx) topicOwner(scope schema.Scope) *uuid.UUID {
	if scope == schema.ScopeSystem {
		return nil
	}
	return &tx.user
}

func topicNotFound() error { return schema.Errorf(schema.CodeNotFound, "There is no such topic.") }

// translateTopicError returns a *schema.Error if err means that the name is taken or that there are
// too many topics, and err otherwise.
func (db *DB) translateTopicError(
	ctx context.Context, err error, scope schema.Scope, name string,
) error {
	switch {
	case violates(err, "topics_name_in_namespace"):
		return schema.Errorf(schema.CodeNameTaken,
			"There is already a topic named %q. Choose another name.", db.takenName(ctx, scope, name))
	case violates(err, "topics_limit"):
		return schema.Errorf(schema.CodeTooManyTopics,
			"There are already %d topics, which is the limit. Delete one that is not needed.",
			schema.MaxTopics).With(schema.Facts{Limit: new(int64(schema.MaxTopics))})
	}
	return err
}

// takenName returns the name of the topic of the scope whose name differs from the given one in
// spelling only, or the given one if the topic cannot be read or no longer exists.
func (db *DB) takenName(ctx context.Context, scope schema.Scope, name string) string {
	topics, err := db.Topics(ctx)
	if err != nil {
		return name
	}
	for _, t := range topics {
		if t.Scope() == scope && schema.FoldCase(t.Name) == schema.FoldCase(name) {
			return t.Name
		}
	}
	return name
}

// MaxSuggestedTopics is the largest number of suggested topics of a user. A user who accepts none
// of them does not need more.
const MaxSuggestedTopics = 100

// SuggestTopics stores the topics that a classifier proposes for a document of the user. They
// become the user's own topics and are marked as suggested. If a system topic or one of the user's
// own topics already has the name, in any spelling (see topicKey), that topic is used instead.
// SuggestTopics returns the topics with the proposed names in the same order. It leaves out names
// that would exceed MaxSuggestedTopics, or schema.MaxTopics of the user. If the user no longer
// exists, it returns no topics.
func (db *DB) SuggestTopics(
	ctx context.Context, user uuid.UUID, topics []schema.Topic,
) ([]schema.Topic, error) {
	suggestions := make([]schema.Topic, 0, len(topics))
	err := db.inTransaction(ctx, func(tx *tx) error {
		// The lock prevents others from creating topics of the user between the count and the insert.
		var exists bool
		err := tx.GetContext(ctx, &exists, `
			SELECT EXISTS (SELECT FROM users WHERE id = $1)
			FROM lock_topics($1)`, user)
		if err != nil || !exists {
			return err
		}
		available, err := tx.availableTopics(ctx, user)
		if err != nil {
			return err
		}
		byKey := make(map[string]schema.Topic, len(available))
		own, suggested := 0, 0
		for _, t := range available {
			if key := topicKey(t.Name); byKey[key].ID == uuid.Nil {
				byKey[key] = t
			}
			if t.UserID != nil {
				own++
			}
			if t.Suggested {
				suggested++
			}
		}
		for _, t := range topics {
			key := topicKey(t.Name)
			if existing, ok := byKey[key]; ok {
				suggestions = append(suggestions, existing)
				continue
			}
			if suggested >= MaxSuggestedTopics || own >= schema.MaxTopics {
				continue
			}
			created, err := tx.suggestTopic(ctx, user, t)
			if err != nil {
				return err
			}
			own, suggested = own+1, suggested+1
			byKey[key] = created
			suggestions = append(suggestions, created)
		}
		return nil
	})
	if err != nil {
		return nil, wrap(ctx, err, "suggest topics to user %s", user)
	}
	return suggestions, nil
}

// suggestTopic stores a suggested topic and returns it. If the user has created a topic with the
// name in the meantime, it returns that topic.
func (tx *tx) suggestTopic(
	ctx context.Context, user uuid.UUID, t schema.Topic,
) (schema.Topic, error) {
	t.UserID, t.Suggested = &user, true
	result, err := tx.ExecContext(ctx, `
		INSERT INTO topics (`+topicColumns+`) VALUES ($1, $2, $3, $4, $5, true)
		ON CONFLICT (user_id, case_fold(name)) DO NOTHING`,
		t.ID, user, t.Name, t.Description, array(append([]string{}, t.Keywords...)))
	if err != nil {
		return schema.Topic{}, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return t, err
	}
	found, err := tx.selectTopics(ctx,
		`WHERE user_id = $1 AND case_fold(name) = case_fold($2)`, user, t.Name)
	if err != nil || len(found) == 0 {
		return schema.Topic{}, errors.Join(err, topicNotFound())
	}
	return found[0], nil
}

// SeedTopics stores system topics if the database has no topics yet, and returns the number of
// stored topics. It requires the owner's role.
func (db *DB) SeedTopics(ctx context.Context, topics []schema.Topic) (n int, err error) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		if _, err := tx.ExecContext(ctx, `LOCK TABLE topics IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		var empty bool
		err := tx.GetContext(ctx, &empty, `SELECT NOT EXISTS (SELECT FROM topics)`)
		if err != nil || !empty {
			return err
		}
		for _, t := range topics {
			t.UserID = nil
			if t.ID == uuid.Nil {
				if t.ID, err = uuid.NewV7(); err != nil {
					return fmt.Errorf("generate a topic id: %w", err)
				}
			}
			if err := tx.insertTopic(ctx, t); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		return 0, wrap(ctx, err, "seed system topics")
	}
	return n, nil
}
