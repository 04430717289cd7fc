-- Dead letters that the sweeper generated are deleted: version 18 cannot identify them.
BEGIN;

DELETE FROM dead_letters WHERE sequence = 0;
DROP INDEX dead_letters_message, dead_letters_generated, dead_letters_by_document;
ALTER TABLE dead_letters
    ADD CONSTRAINT dead_letters_stream_sequence_consumer_first_at_key
    UNIQUE (stream, sequence, consumer, first_at);
COMMENT ON COLUMN dead_letters.sequence IS NULL;
ALTER TABLE dead_letters DROP COLUMN document_ids;
DROP TABLE unchecked_uploads, message_attempts;
DELETE FROM applied_migrations WHERE version = 19;

COMMIT;
