-- The role auth remains, because roles belong to the whole server.
BEGIN;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM auth;
REVOKE ALL ON SCHEMA public FROM auth;
DROP FUNCTION set_current_user(uuid, bigint, bytea), original_document(uuid, uuid, bytea),
    retrying_documents(uuid[]), retrying_documents(uuid, uuid[]), document_view(uuid, bigint, bytea, uuid),
    create_documents(uuid[], bigint, bytea[], uuid[], text[], text[], bigint[], bytea[], boolean[],
        text[], bigint, boolean),
    user_password_hash(uuid), change_password(uuid, text, text, uuid);

CREATE OR REPLACE FUNCTION current_user_id()
 RETURNS uuid
 LANGUAGE sql
 STABLE PARALLEL SAFE SECURITY INVOKER
AS $$ SELECT nullif(current_setting('intray.user_id', true), '')::uuid $$;

CREATE OR REPLACE FUNCTION current_user_is_admin()
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $$ SELECT EXISTS (SELECT FROM users WHERE id = current_user_id() AND role = 'admin') $$;

DROP FUNCTION proof_key(), rotate_proof_key(), new_proof_key(), is_proven(uuid, bigint, bytea);
DROP TABLE proof_keys;

CREATE FUNCTION create_document(owner uuid, new_id uuid, new_filename text, new_type text, new_size bigint, created timestamp with time zone, key text, max_pending bigint, OUT existing uuid, OUT remaining_bytes bigint, OUT pending bigint)
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET lock_timeout TO '100ms'
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

CREATE FUNCTION create_documents(owners uuid[], new_ids uuid[], new_filenames text[], new_types text[], new_sizes bigint[], created timestamp with time zone[], max_pending bigint[])
 RETURNS TABLE(remaining_bytes bigint, pending bigint)
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET lock_timeout TO '100ms'
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

CREATE FUNCTION create_documents(owners uuid[], new_ids uuid[], new_filenames text[], new_types text[], new_sizes bigint[], digests bytea[], multiparts boolean[], keys text[], max_pending bigint, all_of_one boolean)
 RETURNS TABLE(existing uuid, remaining_bytes bigint, pending bigint)
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET lock_timeout TO '100ms'
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

CREATE FUNCTION document_view(viewer uuid, document_id uuid, OUT document documents, OUT topics jsonb, OUT duplicate_of uuid, OUT retrying boolean)
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $$
DECLARE
    bound text := set_config('intray.user_id', viewer::text, true);
BEGIN
    SELECT d.* INTO document FROM documents AS d
        WHERE d.id = document_view.document_id AND d.user_id = viewer AND d.gone_at IS NULL;
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
        WHERE dt.document_id = document_view.document_id;
    IF document.sha256 IS NOT NULL AND document.status IN ('uploaded', 'classified', 'failed') THEN
        duplicate_of := original_document(document.id, document.sha256);
    END IF;
    retrying := document.status IN ('pending', 'uploaded')
        AND EXISTS (SELECT FROM retrying_documents(ARRAY[document.id]));
END
$$;

CREATE FUNCTION original_document(duplicate uuid, digest bytea)
 RETURNS uuid
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
AS $$
BEGIN
    RETURN (SELECT oldest.id FROM (
        SELECT d.id FROM documents AS d
        WHERE d.user_id = current_user_id() AND d.sha256 = digest
            AND d.status IN ('uploaded', 'classified', 'failed')
        ORDER BY d.id LIMIT 1) AS oldest
        WHERE oldest.id < duplicate);
END
$$;

CREATE FUNCTION retrying_documents(ids uuid[])
 RETURNS SETOF uuid
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
AS $$
BEGIN
    RETURN QUERY
        SELECT d.id FROM unnest(ids) AS n (id)
        CROSS JOIN LATERAL (
            SELECT x.id, x.changed_at FROM documents AS x
            WHERE x.id = n.id AND x.user_id = current_user_id()
                AND x.status IN ('pending', 'uploaded') OFFSET 0) AS d
        CROSS JOIN LATERAL (
            SELECT a.attempt, a.next_at, a.reason FROM document_attempts AS a
            WHERE a.document_id = d.id AND a.at >= d.changed_at
            ORDER BY a.at DESC LIMIT 1) AS last
        WHERE last.next_at IS NOT NULL AND last.reason <> 'classification is in progress'
            AND (last.attempt > 0 OR last.next_at > now());
END
$$;

CREATE FUNCTION set_current_user(id uuid)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $$
DECLARE
    user_role text;
BEGIN
    SELECT u.role INTO user_role FROM users AS u WHERE u.id = set_current_user.id;
    PERFORM set_config('intray.user_id',
        CASE WHEN user_role IS NULL THEN '' ELSE set_current_user.id::text END, true);
    RETURN user_role;
END
$$;

CREATE FUNCTION own_password_hash()
 RETURNS text
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $$ SELECT coalesce(password_hash, '') FROM users WHERE id = current_user_id() $$;

CREATE FUNCTION change_own_password(verified_hash text, new_hash text, kept_session uuid)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $$
BEGIN
    UPDATE users SET password_hash = new_hash
        WHERE id = current_user_id() AND password_hash = verified_hash;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM sessions WHERE user_id = current_user_id() AND id IS DISTINCT FROM kept_session;
    RETURN true;
END
$$;

REVOKE ALL ON FUNCTION create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint),
    create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[]),
    create_documents(uuid[], uuid[], text[], text[], bigint[], bytea[], boolean[], text[], bigint,
        boolean),
    document_view(uuid, uuid),
    original_document(uuid, bytea),
    retrying_documents(uuid[]),
    set_current_user(uuid),
    own_password_hash(),
    change_own_password(text, text, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint),
    create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[]),
    create_documents(uuid[], uuid[], text[], text[], bigint[], bytea[], boolean[], text[], bigint,
        boolean),
    document_view(uuid, uuid),
    original_document(uuid, bytea),
    retrying_documents(uuid[]),
    set_current_user(uuid),
    own_password_hash(),
    change_own_password(text, text, uuid),
    account_by_email(text), identity_account(text, text, uuid, text, bigint),
    start_session(uuid, uuid, text, bytea, bytea, double precision),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision),
    end_session(bytea), require_user(uuid) TO api;

DELETE FROM applied_migrations WHERE version = 39;

COMMIT;
