-- Creates documents without locking the quota of their owner.
--
-- The early check of the quota and of the number of pending documents only saves uploads that would
-- be rejected later: no quota is reserved, and confirming a document checks it again. With the
-- lock, all uploads of a user waited for each other, because each lock was held until its commit
-- was on disk. Without it, requests that are handled at the same moment can exceed max_pending by
-- their number.
--
-- create_documents returns NULL in remaining_bytes only for an owner who has no quota.
BEGIN;

CREATE OR REPLACE FUNCTION create_document(owner uuid, new_id uuid, new_filename text,
        new_type text, new_size bigint, created timestamptz, key text, max_pending bigint, OUT existing uuid,
        OUT remaining_bytes bigint, OUT pending bigint)
    LANGUAGE plpgsql
    SET enable_seqscan = off
    AS $$
DECLARE
    bound text := set_config('intray.user_id', owner::text, true);
BEGIN
    IF key <> '' THEN
        UPDATE documents AS d SET url_issued_at = greatest(d.url_issued_at, created)
            WHERE d.user_id = owner AND d.idempotency_key = key
                AND d.filename = new_filename AND d.content_type = new_type AND d.size = new_size
            RETURNING d.id INTO existing;
        IF NOT FOUND THEN
            SELECT d.id INTO existing FROM documents AS d
                WHERE d.user_id = owner AND d.idempotency_key = key;
        END IF;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    SELECT q.limit_bytes - q.used_bytes INTO remaining_bytes FROM quotas AS q
        WHERE q.user_id = owner;
    IF NOT FOUND THEN
        PERFORM require_user(owner);
        RETURN;
    END IF;
    IF new_size > remaining_bytes THEN
        RETURN;
    END IF;
    pending := 0;
    -- The condition on the status is a range that contains only pending, so that the planner uses
    -- documents_by_status. For an equality, with statistics from before a burst, it could choose
    -- documents_pending and read all users' pending documents.
    INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status, version,
            created_at, url_issued_at, changed_at, idempotency_key)
        SELECT new_id, owner, document_object_key(new_id), new_filename, new_type, new_size,
            'pending', 1, created, created, created, nullif(key, '')
        WHERE max_pending > (SELECT count(*) FROM (
            SELECT FROM documents AS d
            WHERE d.user_id = owner AND d.status >= 'pending' AND d.status <= 'pending'
            LIMIT max_pending) AS p);
    IF NOT FOUND THEN
        pending := max_pending;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION create_documents(owners uuid[], new_ids uuid[], new_filenames text[],
        new_types text[], new_sizes bigint[], created timestamptz[], max_pending bigint[])
    RETURNS TABLE(remaining_bytes bigint, pending bigint)
    LANGUAGE plpgsql
    SET enable_seqscan = off
    AS $$
DECLARE
    owner uuid;
BEGIN
    FOR i IN 1 .. cardinality(new_ids) LOOP
        owner := owners[i];
        pending := 0;
        PERFORM set_config('intray.user_id', owner::text, true);
        SELECT q.limit_bytes - q.used_bytes INTO remaining_bytes FROM quotas AS q
            WHERE q.user_id = owner;
        -- The condition on the status is a range, as in create_document.
        IF new_sizes[i] <= remaining_bytes THEN
            INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status,
                    version, created_at, url_issued_at, changed_at)
                SELECT new_ids[i], owner, document_object_key(new_ids[i]), new_filenames[i],
                    new_types[i], new_sizes[i], 'pending', 1, created[i], created[i], created[i]
                WHERE max_pending[i] > (SELECT count(*) FROM (
                    SELECT FROM documents AS d
                    WHERE d.user_id = owner AND d.status >= 'pending' AND d.status <= 'pending'
                    LIMIT max_pending[i]) AS p);
            IF NOT FOUND THEN
                pending := max_pending[i];
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
    PERFORM set_config('intray.user_id', '', true);
END
$$;

INSERT INTO applied_migrations (version) VALUES (22) ON CONFLICT DO NOTHING;

COMMIT;
