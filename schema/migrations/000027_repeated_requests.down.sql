BEGIN;

DO $$
DECLARE
    requests bigint := (SELECT count(*) FROM documents
        WHERE declared_sha256 IS NOT NULL OR multipart OR requested_filename IS NOT NULL);
    keys bigint := (SELECT count(*) FROM object_deletions WHERE idempotency_key IS NOT NULL);
BEGIN
    IF requests > 0 OR keys > 0 THEN
        RAISE NOTICE 'what the requests for % documents declared does not come back, nor do the idempotency keys of % deleted documents, each of which creates a new document if it is used again', requests, keys;
    END IF;
END
$$;

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
