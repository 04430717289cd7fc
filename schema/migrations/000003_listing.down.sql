-- The listings work without these indexes, but they are slower.
BEGIN;

DROP INDEX document_topics_of_user;
CREATE INDEX documents_pending_of_user ON documents (user_id) WHERE status = 'pending';
DROP INDEX documents_of_status;

DELETE FROM applied_migrations WHERE version = 3;

COMMIT;
