-- Adds functions that answer the two most frequent requests in one round trip each: they bind the
-- transaction to the viewer, as begin_user does, and run the queries that follow. They are written
-- in PL/pgSQL because a session caches the plans of its statements; an SQL function is planned in
-- each transaction. They run with the caller's privileges, so row-level security applies as it does
-- to separate statements.
--
-- If the viewer does not exist, they fail with SQLSTATE IN401, a code of this database.
-- PostgreSQL's own class 28 (invalid authorization) would be ambiguous: it also means that the role
-- may not connect.
BEGIN;

-- Fails with SQLSTATE IN401 if the user does not exist. A document or a quota has a foreign key to
-- its user. If one is found, the user exists; therefore this function is called only if none is
-- found.
CREATE FUNCTION require_user(viewer uuid) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM users AS u WHERE u.id = viewer) THEN
        RAISE EXCEPTION 'no such user' USING ERRCODE = 'IN401';
    END IF;
END
$$;

-- Returns one of the viewer's documents and its topics ordered by name. Both are NULL if there is
-- no such document; topics is NULL if the document has none.
CREATE FUNCTION document_view(viewer uuid, wanted uuid, OUT document documents, OUT topics jsonb)
    LANGUAGE plpgsql
    AS $$
DECLARE
    bound text := set_config('intray.user_id', viewer::text, true);
BEGIN
    SELECT d.* INTO document FROM documents AS d WHERE d.id = wanted AND d.user_id = viewer AND d.gone_at IS NULL;
    IF NOT FOUND THEN
        PERFORM require_user(viewer);
        document := NULL;
        RETURN;
    END IF;
    SELECT jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name,
            'scope', CASE WHEN t.user_id IS NULL THEN 'system' ELSE 'user' END,
            'confidence', dt.confidence, 'suggested', t.suggested) ORDER BY lower(t.name), t.id)
        INTO topics
        FROM document_topics AS dt JOIN topics AS t ON t.id = dt.topic_id
        WHERE dt.document_id = wanted;
END
$$;

-- Stores a new pending document of the viewer and returns the rest of the quota in left_bytes, and
-- 0 in pending. It stores nothing in these cases:
--   A document was created with the same idempotency key: before is its id. If the requests are
--   equal, the URL of that document now counts as issued at the time given by at.
--   The document does not fit the quota: left_bytes is less than the size, or NULL if the viewer
--   has no quota.
--   The viewer has max_pending pending documents: pending is max_pending.
-- The quota stays locked until the commit, so that concurrent requests cannot exceed max_pending
-- together.
CREATE FUNCTION create_document(viewer uuid, new_id uuid, new_filename text, new_type text, new_size bigint, at timestamptz,
        key text, max_pending bigint, OUT before uuid, OUT left_bytes bigint, OUT pending bigint)
    LANGUAGE plpgsql
    AS $$
DECLARE
    bound text := set_config('intray.user_id', viewer::text, true);
BEGIN
    IF key <> '' THEN
        UPDATE documents AS d SET url_issued_at = greatest(d.url_issued_at, at)
            WHERE d.user_id = viewer AND d.idempotency_key = key
                AND d.filename = new_filename AND d.content_type = new_type AND d.size = new_size
            RETURNING d.id INTO before;
        IF NOT FOUND THEN
            SELECT d.id INTO before FROM documents AS d WHERE d.user_id = viewer AND d.idempotency_key = key;
        END IF;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    SELECT q.limit_bytes - q.used_bytes INTO left_bytes FROM quotas AS q WHERE q.user_id = viewer FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM require_user(viewer);
        RETURN;
    END IF;
    IF new_size > left_bytes THEN
        RETURN;
    END IF;
    pending := 0;
    -- The count is in a separate statement, so that it sees what was committed while this function
    -- waited for the lock. Its condition on the status is a range that contains only pending, so
    -- that the planner uses documents_of_status. For an equality, with statistics from before a
    -- burst, it could choose documents_pending and read all users' pending documents.
    INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status, version,
            created_at, url_issued_at, changed_at, idempotency_key)
        SELECT new_id, viewer, document_object_key(new_id), new_filename, new_type, new_size, 'pending', 1,
            at, at, at, nullif(key, '')
        WHERE max_pending > (SELECT count(*) FROM (
            SELECT FROM documents AS d
            WHERE d.user_id = viewer AND d.status >= 'pending' AND d.status <= 'pending' LIMIT max_pending) AS p);
    IF NOT FOUND THEN
        pending := max_pending;
    END IF;
END
$$;

REVOKE ALL ON FUNCTION require_user(uuid), document_view(uuid, uuid),
    create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION require_user(uuid), document_view(uuid, uuid),
    create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint) TO api;

INSERT INTO applied_migrations (version) VALUES (10) ON CONFLICT DO NOTHING;

COMMIT;
