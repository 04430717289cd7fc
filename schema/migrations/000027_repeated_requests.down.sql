BEGIN;

DROP FUNCTION create_documents(uuid[], uuid[], text[], text[], bigint[], bytea[], boolean[],
    text[], bigint, boolean);
DROP INDEX object_deletions_idempotency;
ALTER TABLE object_deletions DROP COLUMN idempotency_key;
ALTER TABLE documents
    DROP COLUMN declared_sha256,
    DROP COLUMN multipart,
    DROP COLUMN requested_filename;

DELETE FROM applied_migrations WHERE version = 27;

COMMIT;
