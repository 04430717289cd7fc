BEGIN;

DROP FUNCTION document_counts(uuid, text[], bigint);

DELETE FROM applied_migrations WHERE version = 34;

COMMIT;
