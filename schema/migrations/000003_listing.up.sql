-- Adds indexes that return a page of a listing by status or by topic in the order of the listing,
-- regardless of how many documents the user or other users have.
BEGIN;

CREATE INDEX documents_of_status ON documents (user_id, status, id);
-- Its entries are a subset of those of documents_of_status, which replaces it.
DROP INDEX documents_pending_of_user;
CREATE INDEX document_topics_of_user ON document_topics (user_id, topic_id, document_id);

INSERT INTO applied_migrations (version) VALUES (3) ON CONFLICT DO NOTHING;

COMMIT;
