-- Creating a document waits for locks only briefly, because the documents of other users in the
-- same batch wait, too, and each waiting request occupies a connection. create_documents needs a
-- lock of the owner, which only the removal of the owner or an operator holds. create_document also
-- needs the document that an earlier request with the same idempotency key created; if that is
-- locked, the request can be repeated.
BEGIN;

ALTER FUNCTION create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[])
    SET lock_timeout = '100ms';
ALTER FUNCTION create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint)
    SET lock_timeout = '100ms';

INSERT INTO applied_migrations (version) VALUES (24) ON CONFLICT DO NOTHING;

COMMIT;
