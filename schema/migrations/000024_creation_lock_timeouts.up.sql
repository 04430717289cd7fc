-- Creating a document waits for locks only briefly, because the documents of other users in the same
-- batch wait, too, and each waiting request occupies a connection. create_documents needs a lock of
-- the owner, which only the removal of the owner or an operator holds. create_document also needs
-- the document that an earlier request with the same idempotency key created; if that is locked, the
-- request can be repeated.
BEGIN;

ALTER FUNCTION create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[])
    SET lock_timeout = '100ms';
ALTER FUNCTION create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint)
    SET lock_timeout = '100ms';

-- Returns those of the users for whom no document can be created now, because another transaction
-- has locked the user.
CREATE FUNCTION locked_users(candidates uuid[]) RETURNS SETOF uuid
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    SET enable_seqscan = off
    AS $$
    WITH unlocked AS MATERIALIZED (
        SELECT u.id FROM users AS u WHERE u.id = ANY(candidates) FOR KEY SHARE SKIP LOCKED)
    SELECT u.id FROM users AS u
    WHERE u.id = ANY(candidates) AND u.id NOT IN (SELECT id FROM unlocked)
$$;
REVOKE ALL ON FUNCTION locked_users(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION locked_users(uuid[]) TO api;

INSERT INTO applied_migrations (version) VALUES (24) ON CONFLICT DO NOTHING;

COMMIT;
