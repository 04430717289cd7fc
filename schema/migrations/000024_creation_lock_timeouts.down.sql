BEGIN;

ALTER FUNCTION create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint)
    RESET lock_timeout;
ALTER FUNCTION create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[])
    RESET lock_timeout;

DELETE FROM applied_migrations WHERE version = 24;

COMMIT;
