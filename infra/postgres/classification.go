package postgres

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"

	"intray/schema"
)

// A ClassifyInput is what is needed to classify a document.
type ClassifyInput struct {
	Document schema.Document
	Settings AISettings // of the document's owner
	// Topics are the topics to choose from: the system topics and the owner's own.
	Topics []schema.Topic
}

// ClassifyInputs returns the inputs for classifying documents, by document. Documents that do not
// exist or whose object is gone are omitted. It requires the role worker.
func (db *DB) ClassifyInputs(
	ctx context.Context, ids []uuid.UUID,
) (map[uuid.UUID]ClassifyInput, error) {
	var rows []struct {
		schema.Document
		AISettings
	}
	err := db.pool.SelectContext(ctx, &rows, `
		SELECT d.*, u.ai_provider, u.ai_model
		FROM (SELECT `+documentColumns+` FROM documents
			WHERE `+anyOf("id", "$1::uuid[]", len(ids))+` AND gone_at IS NULL) AS d
		JOIN users AS u ON u.id = d.user_id`, array(ids))
	if err != nil {
		return nil, wrap(ctx, err, "read %d documents to classify", len(ids))
	}
	topics := make(map[uuid.UUID][]schema.Topic)
	for _, r := range rows {
		topics[r.UserID] = nil
	}
	if err := db.availableTopics(ctx, topics); err != nil {
		return nil, wrap(ctx, err, "read the topics of %d users", len(topics))
	}
	inputs := make(map[uuid.UUID]ClassifyInput, len(rows))
	for _, r := range rows {
		inputs[r.ID] = ClassifyInput{r.Document, r.AISettings, topics[r.UserID]}
	}
	return inputs, nil
}

// availableTopics sets the values of topics, whose keys are users, to the topics of each user: the
// system topics and then the user's own, each ordered by name.
func (db *DB) availableTopics(ctx context.Context, topics map[uuid.UUID][]schema.Topic) error {
	if len(topics) == 0 {
		return nil
	}
	users := slices.Collect(maps.Keys(topics))
	var rows []topicRow
	err := db.pool.SelectContext(ctx, &rows, `
		SELECT `+topicColumns+` FROM topics
		WHERE user_id IS NULL OR `+anyOf("user_id", "$1::uuid[]", len(users))+`
		ORDER BY user_id IS NOT NULL, lower(name), id`, array(users))
	if err != nil {
		return err
	}
	for _, r := range rows {
		t := r.topic()
		if t.UserID != nil {
			topics[*t.UserID] = append(topics[*t.UserID], t)
			continue
		}
		for user := range topics {
			topics[user] = append(topics[user], t)
		}
	}
	return nil
}

// A UserTopic is a topic of which a user has examples.
type UserTopic struct{ User, Topic uuid.UUID }

// An Example is what a provider has stored about a document.
type Example struct {
	Document uuid.UUID `db:"document_id"`
	Content  []byte    `db:"example"`
}

// Examples returns, for each of the topics, the examples of up to limit of the user's documents
// whose topics the user set manually, newest first. Its cost depends on the number of topics and on
// limit, but not on the number of documents. It requires the role worker.
func (db *DB) Examples(
	ctx context.Context, topics []UserTopic, limit int,
) (map[UserTopic][]Example, error) {
	var rows []struct {
		User  uuid.UUID `db:"owner"`
		Topic uuid.UUID `db:"topic"`
		Example
	}
	users, ids := make([]uuid.UUID, len(topics)), make([]uuid.UUID, len(topics))
	for i, t := range topics {
		users[i], ids[i] = t.User, t.Topic
	}
	err := db.pool.SelectContext(ctx, &rows, `
		SELECT t.owner, t.topic, e.document_id, e.example
		FROM unnest($1::uuid[], $2::uuid[]) AS t (owner, topic)
		CROSS JOIN LATERAL (
			SELECT document_id FROM document_topics
			WHERE user_id = t.owner AND topic_id = t.topic AND set_manually
			ORDER BY document_id DESC LIMIT $3) AS newest
		JOIN document_examples AS e USING (document_id)
		ORDER BY newest.document_id DESC`, array(users), array(ids), limit)
	if err != nil {
		return nil, wrap(ctx, err, "read the examples of %d topics", len(topics))
	}
	examples := make(map[UserTopic][]Example)
	for _, r := range rows {
		t := UserTopic{r.User, r.Topic}
		examples[t] = append(examples[t], r.Example)
	}
	return examples, nil
}
