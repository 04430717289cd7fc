-- Adds a function that stores the new documents of several requests with one statement and one
-- commit.
--
-- It binds the transaction to the viewer of each document in turn, so row-level security decides as
-- in create_document. It never waits for a quota: if another transaction has locked a viewer's
-- quota, or the viewer has none, left_bytes is NULL, the document is not stored, and the caller
-- calls create_document instead. So no user waits for another user's quota, and two calls never
-- wait for each other.
BEGIN;

CREATE FUNCTION create_documents(viewers uuid[], new_ids uuid[], new_filenames text[], new_types text[], new_sizes bigint[],
        created timestamptz[], max_pending bigint[])
    RETURNS TABLE (left_bytes bigint, pending bigint)
    LANGUAGE plpgsql
    AS $$
DECLARE
    viewer uuid;
BEGIN
    FOR i IN 1 .. cardinality(new_ids) LOOP
        viewer := viewers[i];
        pending := 0;
        PERFORM set_config('intray.user_id', viewer::text, true);
        SELECT q.limit_bytes - q.used_bytes INTO left_bytes FROM quotas AS q WHERE q.user_id = viewer FOR NO KEY UPDATE SKIP LOCKED;
        -- A separate statement with a range and a limit, as in create_document.
        IF new_sizes[i] <= left_bytes THEN
            INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status, version,
                    created_at, url_issued_at, changed_at)
                SELECT new_ids[i], viewer, document_object_key(new_ids[i]), new_filenames[i], new_types[i], new_sizes[i], 'pending', 1,
                    created[i], created[i], created[i]
                WHERE max_pending[i] > (SELECT count(*) FROM (
                    SELECT FROM documents AS d
                    WHERE d.user_id = viewer AND d.status >= 'pending' AND d.status <= 'pending' LIMIT max_pending[i]) AS p);
            IF NOT FOUND THEN
                pending := max_pending[i];
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
    PERFORM set_config('intray.user_id', '', true);
END
$$;
REVOKE ALL ON FUNCTION create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[]) TO api;

INSERT INTO applied_migrations (version) VALUES (13) ON CONFLICT DO NOTHING;

COMMIT;
