BEGIN;

DROP FUNCTION document_view(uuid, uuid), create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint), require_user(uuid);

DELETE FROM applied_migrations WHERE version = 10;

COMMIT;
