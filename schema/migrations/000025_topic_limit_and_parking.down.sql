BEGIN;

ALTER TABLE document_attempts DROP COLUMN parked;
DROP TRIGGER topics_limit ON topics;
DROP FUNCTION check_topic_limit();
DROP FUNCTION lock_topics(uuid);

DELETE FROM applied_migrations WHERE version = 25;

COMMIT;
