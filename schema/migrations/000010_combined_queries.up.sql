-- The two requests that clients make all the time, each in one round trip: binding to
-- the user, and what follows it. They are in PL/pgSQL because a session keeps its
-- plans; functions in SQL are planned anew in each transaction. They run with their
-- caller's rights, so row-level security holds in them as it does for statements
-- that are sent one by one.
--
-- A viewer who does not exist is the error IN401, a code of our own: PostgreSQL's for
-- an invalid authorization also tells of a role that may not connect.
BEGIN;

-- That a document or a quota is somebody's proves that they exist, by its foreign key;
-- so this is asked only where neither was found.
CREATE FUNCTION require_user(viewer uuid) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM users AS u WHERE u.id = viewer) THEN
        RAISE EXCEPTION 'no such user' USING ERRCODE = 'IN401';
    END IF;
END
$$;

-- One document of the viewer, with its topics by name (NULL: none); document is NULL
-- if there is none.
CREATE FUNCTION document_view(viewer uuid, wanted uuid, OUT document documents, OUT topics jsonb)
    LANGUAGE plpgsql
    AS $$
DECLARE
    bound text := set_config('intray.user_id', viewer::text, true); -- as begin_user does
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

-- Stores a new pending document of the viewer, unless something speaks against it:
-- before is then the document that the key made before (if it is the same request,
-- its URL counts as issued now), left_bytes is less than the size (NULL: the viewer has
-- no quota), or pending is max_pending. The quota's lock is held until the commit, so
-- that requests side by side do not pass the limit together.
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
    -- A statement of its own: it sees what was committed while the lock was awaited.
    -- The range is the one status, by documents_of_status. An equality would let the
    -- planner, whose statistics are older than a burst, walk everybody's pending
    -- documents in documents_pending.
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
