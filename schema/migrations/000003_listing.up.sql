-- Indexes that give a page of a listing by status or topic in its order, however
-- many documents there are, of the user or of others.
BEGIN;

CREATE INDEX documents_of_status ON documents (user_id, status, id);
DROP INDEX documents_pending_of_user; -- a part of it
CREATE INDEX document_topics_of_user ON document_topics (user_id, topic_id, document_id);

INSERT INTO applied_migrations (version) VALUES (3) ON CONFLICT DO NOTHING;

COMMIT;
