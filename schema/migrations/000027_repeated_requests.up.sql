-- Stores what an Idempotency-Key stands for besides the type and the size of the file, and creates
-- several documents of one user together.
--
-- The functions create_document and create_documents of the previous version are kept for its API
-- processes, which run with this version of the schema during an upgrade.
BEGIN;

ALTER TABLE documents
    ADD COLUMN declared_sha256 bytea,
    ADD COLUMN multipart boolean NOT NULL DEFAULT false,
    ADD COLUMN requested_filename text;
COMMENT ON COLUMN documents.declared_sha256 IS 'the SHA-256 in the request that created the document; NULL: none';
COMMENT ON COLUMN documents.multipart IS 'the file is uploaded in parts';
COMMENT ON COLUMN documents.requested_filename IS 'the filename in the request with the idempotency key; NULL: no key, or the same as filename';

UPDATE documents AS d SET multipart = true FROM multipart_uploads AS m WHERE d.id = m.document_id;

-- The key of a document whose row is deleted, as long as the tombstone of its object exists.
ALTER TABLE object_deletions ADD COLUMN idempotency_key text;
COMMENT ON COLUMN object_deletions.idempotency_key IS 'the idempotency key of the document; NULL: none';
CREATE INDEX object_deletions_idempotency ON object_deletions (user_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- Creates pending documents and returns one row for each, in order:
--
--   existing         the document that was created under the same idempotency key, or NULL
--   remaining_bytes  the rest of the quota, or NULL if the owner has no quota
--   pending          max_pending if the owner has as many pending documents, otherwise 0
--
-- An empty digest or key means that there is none. If all_of_one is true, the documents are those
-- of one request. The rest of the quota is then without the documents before it that the request
-- creates or continues.
CREATE FUNCTION create_documents(owners uuid[], new_ids uuid[], new_filenames text[],
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
            SELECT d.id INTO existing FROM documents AS d
                WHERE d.user_id = owner AND d.idempotency_key = keys[i];
            IF NOT FOUND THEN
                SELECT o.document_id INTO existing FROM object_deletions AS o
                    WHERE o.user_id = owner AND o.idempotency_key = keys[i] LIMIT 1;
            ELSIF all_of_one AND existing <> ALL (counted) THEN
                requested := requested + coalesce((SELECT d.size FROM documents AS d
                    WHERE d.id = existing AND d.status IN ('pending', 'expired')), 0);
                counted := counted || existing;
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

REVOKE ALL ON FUNCTION create_documents(uuid[], uuid[], text[], text[], bigint[], bytea[],
    boolean[], text[], bigint, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION create_documents(uuid[], uuid[], text[], text[], bigint[], bytea[],
    boolean[], text[], bigint, boolean) TO api;

INSERT INTO applied_migrations (version) VALUES (27) ON CONFLICT DO NOTHING;

COMMIT;
