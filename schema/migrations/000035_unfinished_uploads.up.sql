-- Bounds the bytes that the unfinished multipart uploads of a user can store.
BEGIN;

CREATE INDEX multipart_uploads_by_user ON multipart_uploads (user_id, document_id);

-- Returns the bytes of the owner's multipart uploads that object storage has neither completed nor
-- aborted, without those of one document. Those of counted documents are in the quota. At most
-- 10,000 uploads are read; a user has far fewer, because pending documents are limited.
--
-- Documents are found by their object keys: for their ids, row-level security lets the planner read
-- all entries of the owner in documents_by_status instead.
CREATE FUNCTION unfinished_upload_bytes(owner uuid, without uuid) RETURNS bigint
    LANGUAGE sql STABLE SET enable_seqscan = off
    AS $$
    SELECT coalesce(sum(u.size), 0)
    FROM (
            SELECT m.document_id, m.object_key, m.size FROM multipart_uploads AS m
            WHERE m.user_id = owner ORDER BY m.document_id LIMIT 10000) AS u
        LEFT JOIN LATERAL (
            SELECT d.status FROM documents AS d WHERE d.object_key = u.object_key OFFSET 0
        ) AS d ON true
    WHERE u.document_id IS DISTINCT FROM without
        AND coalesce(d.status, '') NOT IN ('uploaded', 'classified', 'failed')
$$;
REVOKE ALL ON FUNCTION unfinished_upload_bytes(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION unfinished_upload_bytes(uuid, uuid) TO api;

-- Creates pending documents and returns one row for each, in order:
--
--   existing         the document that was created under the same idempotency key, or NULL
--   remaining_bytes  the rest of the quota, or NULL if the owner has no quota; for a multipart
--                    upload, without the bytes of the owner's unfinished ones
--   pending          max_pending if the owner has as many pending documents, otherwise 0
--
-- An empty digest or key means that there is none. If all_of_one is true, the documents are those
-- of one request. The rest of the quota is then without the documents before it that the request
-- creates or continues. An existing document that is expired is continued only if it fits, like a
-- new one; its first row reports whether it does.
CREATE OR REPLACE FUNCTION create_documents(owners uuid[], new_ids uuid[], new_filenames text[],
        new_types text[], new_sizes bigint[], digests bytea[], multiparts boolean[], keys text[],
        max_pending bigint, all_of_one boolean)
    RETURNS TABLE (existing uuid, remaining_bytes bigint, pending bigint)
    LANGUAGE plpgsql
    SET enable_seqscan = off
    SET lock_timeout = '100ms'
    AS $$
DECLARE
    owner uuid;
    current_owner uuid;
    owner_left bigint;
    owner_pending bigint;
    requested bigint := 0;
    counted uuid[] := '{}';
    repeated record;
BEGIN
    FOR i IN 1 .. cardinality(new_ids) LOOP
        -- This is not a CHECK of the table, which would make every UPDATE of a document slower.
        IF octet_length(digests[i]) NOT IN (0, 32) THEN
            RAISE EXCEPTION 'the digest has % bytes', octet_length(digests[i])
                USING ERRCODE = 'check_violation';
        END IF;
        owner := owners[i];
        existing := NULL;
        pending := 0;
        IF owner IS DISTINCT FROM current_owner THEN
            current_owner := owner;
            PERFORM set_config('intray.user_id', owner::text, true);
            -- The condition on the status is a range that contains only pending, so that the planner
            -- uses documents_by_status. For an equality, with statistics from before a burst, it could
            -- choose documents_pending and read all users' pending documents.
            SELECT q.limit_bytes - q.used_bytes, (
                    SELECT count(*) FROM (
                        SELECT FROM documents AS d
                        WHERE d.user_id = owner AND d.status >= 'pending' AND d.status <= 'pending'
                        LIMIT max_pending) AS p)
                INTO owner_left, owner_pending FROM quotas AS q WHERE q.user_id = owner;
        END IF;
        remaining_bytes := owner_left - requested;
        IF keys[i] <> '' THEN
            SELECT d.id, d.status, d.size INTO repeated FROM documents AS d
                WHERE d.user_id = owner AND d.idempotency_key = keys[i];
            existing := repeated.id;
        END IF;
        IF multiparts[i] THEN
            remaining_bytes := remaining_bytes - unfinished_upload_bytes(owner, existing);
        END IF;
        IF keys[i] <> '' THEN
            IF existing IS NULL THEN
                SELECT o.document_id INTO existing FROM object_deletions AS o
                    WHERE o.user_id = owner AND o.idempotency_key = keys[i] LIMIT 1;
                IF NOT FOUND THEN
                    SELECT g.document_id INTO existing FROM gone_keys AS g
                        WHERE g.user_id = owner AND g.idempotency_key = keys[i];
                END IF;
            ELSIF all_of_one AND existing <> ALL (counted)
                    AND repeated.status IN ('pending', 'expired') THEN
                IF repeated.status = 'expired' AND owner_pending >= max_pending THEN
                    pending := max_pending;
                ELSIF repeated.status = 'pending' OR repeated.size <= remaining_bytes THEN
                    IF repeated.status = 'expired' THEN
                        owner_pending := owner_pending + 1;
                    END IF;
                    requested := requested + repeated.size;
                    counted := counted || existing;
                END IF;
            END IF;
        END IF;
        IF existing IS NULL AND new_sizes[i] <= remaining_bytes THEN
            IF owner_pending >= max_pending THEN
                pending := max_pending;
            ELSE
                INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status,
                        version, created_at, url_issued_at, changed_at, declared_sha256, multipart,
                        idempotency_key, requested_filename)
                    VALUES (new_ids[i], owner, document_object_key(new_ids[i]), new_filenames[i],
                        new_types[i], new_sizes[i], 'pending', 1, now(), now(), now(),
                        nullif(digests[i], ''), multiparts[i], nullif(keys[i], ''),
                        CASE WHEN keys[i] <> '' THEN new_filenames[i] END);
                owner_pending := owner_pending + 1;
                IF all_of_one THEN
                    requested := requested + new_sizes[i];
                    counted := counted || new_ids[i];
                END IF;
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
    PERFORM set_config('intray.user_id', '', true);
END
$$;

INSERT INTO applied_migrations (version) VALUES (35) ON CONFLICT DO NOTHING;

COMMIT;
