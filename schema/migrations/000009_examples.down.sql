BEGIN;

DROP TRIGGER document_topics_by_hand ON document_topics;
DROP FUNCTION document_topic_by_hand();
DROP INDEX document_topics_by_hand;
ALTER TABLE document_topics DROP COLUMN by_hand;
DROP TABLE document_examples;

DELETE FROM applied_migrations WHERE version = 9;

COMMIT;
