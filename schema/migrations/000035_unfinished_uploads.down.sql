BEGIN;

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
            IF NOT FOUND THEN
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

DROP FUNCTION unfinished_upload_bytes(uuid, uuid);
DROP INDEX multipart_uploads_by_user;

DELETE FROM applied_migrations WHERE version = 35;

COMMIT;
