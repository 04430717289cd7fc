BEGIN;

DROP FUNCTION create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[]);
DELETE FROM applied_migrations WHERE version = 13;

COMMIT;
