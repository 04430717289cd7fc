-- Restores the names of version 17. The data does not change.
BEGIN;

DROP FUNCTION set_current_user(uuid), account_by_email(text), admin_user(uuid),
    admin_change_user(uuid, bigint, text, text),
    start_session(uuid, uuid, text, bytea, bytea, double precision),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision),
    end_session(bytea), change_own_password(text, text, uuid),
    identity_account(text, text, uuid, text, bigint), require_user(uuid), document_view(uuid, uuid),
    create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint),
    create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[]);

---------------- uploads and sessions

COMMENT ON COLUMN user_identities.user_id IS NULL;
COMMENT ON COLUMN topics.user_id IS 'NULL: a system topic, which every user sees';
COMMENT ON COLUMN sessions.nonce
    IS 'what made the current token out of the previous one, together with the server''s key; useless without both';
ALTER INDEX user_identities_by_user RENAME TO user_identities_of_user;
ALTER INDEX sessions_by_user RENAME TO sessions_of_user;
COMMENT ON COLUMN ai_calls.calls IS NULL;
COMMENT ON COLUMN ai_calls.day IS 'in UTC';
COMMENT ON COLUMN multipart_uploads.aborting_at
    IS 'when it was given up: storage is asked to drop its parts until it has';

---------------- dead letters, replays, reconciliation

COMMENT ON COLUMN reconciliation.remaining IS NULL;
COMMENT ON COLUMN reconciliation.singleton IS NULL;
ALTER TABLE reconciliation
    RENAME CONSTRAINT reconciliation_remaining_check TO reconciliation_remains_check;
ALTER TABLE reconciliation
    RENAME CONSTRAINT reconciliation_singleton_check TO reconciliation_only_one_check;
ALTER TABLE reconciliation RENAME COLUMN remaining TO remains;
ALTER TABLE reconciliation RENAME COLUMN differences TO found;
ALTER TABLE reconciliation RENAME COLUMN finished_at TO at;
ALTER TABLE reconciliation RENAME COLUMN singleton TO only_one;
COMMENT ON COLUMN reconciliation.found IS 'how many differences of each kind';

ALTER TABLE replay_generated_events
    RENAME CONSTRAINT replay_generated_events_replay_fkey TO replay_made_replay_fkey;
ALTER TABLE replay_generated_events
    RENAME CONSTRAINT replay_generated_events_pkey TO replay_made_pkey;
ALTER TABLE replay_generated_events RENAME TO replay_made;

COMMENT ON COLUMN replay_blocks.last_outcome_at IS NULL;
ALTER TABLE replay_blocks RENAME COLUMN last_outcome_at TO decided_at;

COMMENT ON COLUMN replays.last_outcome_at IS NULL;
COMMENT ON COLUMN replays.stream_created
    IS 'a stream that was made anew counts from 1 again: its sequences are other events';
COMMENT ON COLUMN replays.stream
    IS 'where the events are read; empty: they are made, and lie in replay_made';
COMMENT ON COLUMN replays.position
    IS 'the last stream sequence that was published; where a replay resumes';
COMMENT ON COLUMN replays.applied
    IS 'this and the other counts are set at the end; until then replay_blocks has them';
COMMENT ON COLUMN replays.target IS NULL;
ALTER TABLE replays RENAME COLUMN last_outcome_at TO last_at;
ALTER TABLE replays RENAME COLUMN reason TO why;
ALTER TABLE replays RENAME COLUMN actor TO who;

COMMENT ON COLUMN dead_letters.dead_at IS NULL;
COMMENT ON COLUMN dead_letters.first_at IS NULL;
COMMENT ON COLUMN dead_letters.attempts IS NULL;
ALTER TABLE dead_letters RENAME COLUMN attempts TO tries;

---------------- topics of documents

COMMENT ON COLUMN document_topics.set_manually IS NULL;
ALTER FUNCTION document_topic_set_manually() RENAME TO document_topic_by_hand;
ALTER TRIGGER document_topics_set_manually ON document_topics RENAME TO document_topics_by_hand;
ALTER INDEX document_topics_by_user RENAME TO document_topics_of_user;
ALTER INDEX document_topics_set_manually RENAME TO document_topics_by_hand;
ALTER TABLE document_topics RENAME COLUMN set_manually TO by_hand;

CREATE OR REPLACE FUNCTION document_topic_by_hand() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
    AS $$
BEGIN
    NEW.by_hand := coalesce((SELECT d.topics_locked FROM documents AS d WHERE d.id = NEW.document_id), false);
    RETURN NEW;
END
$$;

---------------- documents

COMMENT ON COLUMN document_examples.example IS 'word vectors and hashes, added up: no text';

ALTER INDEX document_attempts_postponed RENAME TO document_tries_postponed;
ALTER INDEX document_attempts_by_time RENAME TO document_tries_by_time;
ALTER INDEX document_attempts_by_document RENAME TO document_tries_of;
ALTER TABLE document_attempts
    RENAME CONSTRAINT document_attempts_document_id_fkey TO document_tries_document_id_fkey;
ALTER TABLE document_attempts
    RENAME CONSTRAINT document_attempts_attempt_check TO document_tries_try_check;
ALTER TABLE document_attempts RENAME COLUMN attempt TO try;
ALTER TABLE document_attempts RENAME TO document_tries;
COMMENT ON COLUMN document_tries.try
    IS '0: nothing was tried, its turn had not come; the last such time only';
COMMENT ON COLUMN document_tries.next_at IS 'when it is tried again; NULL: it is not';

ALTER INDEX documents_by_status RENAME TO documents_of_status;
COMMENT ON COLUMN documents.unpublished_at IS NULL;
ALTER TABLE documents RENAME COLUMN detected_type TO found_type;
COMMENT ON COLUMN documents.found_type
    IS 'the media type that the content shows, where content_type says something else';
ALTER INDEX documents_unpublished RENAME TO documents_unannounced;
ALTER TABLE documents RENAME COLUMN unpublished_at TO unannounced_at;

---------------- functions

CREATE OR REPLACE FUNCTION require_admin() RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    IF NOT current_user_is_admin() THEN
        RAISE EXCEPTION 'an administrator is needed' USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$$;

CREATE FUNCTION begin_user(id uuid) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    found_role text;
BEGIN
    SELECT u.role INTO found_role FROM users AS u WHERE u.id = begin_user.id;
    PERFORM set_config('intray.user_id', CASE WHEN found_role IS NULL THEN '' ELSE begin_user.id::text END, true);
    RETURN found_role;
END
$$;

CREATE FUNCTION login_account(email text)
    RETURNS TABLE (id uuid, password_hash text, role text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT u.id, coalesce(u.password_hash, ''), u.role FROM users AS u
    WHERE lower(u.email) = lower(login_account.email)
$$;

CREATE FUNCTION admin_user(who uuid)
    RETURNS TABLE (id uuid, email text, role text, ai_provider text, ai_model text, limit_bytes bigint, used_bytes bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM require_admin();
    RETURN QUERY
        SELECT u.id, u.email, u.role, u.ai_provider, u.ai_model, q.limit_bytes, q.used_bytes
        FROM users AS u JOIN quotas AS q ON q.user_id = u.id WHERE u.id = who;
END
$$;

CREATE FUNCTION admin_change_user(who uuid, new_limit bigint, new_provider text, new_model text)
    RETURNS TABLE (id uuid, email text, role text, ai_provider text, ai_model text, limit_bytes bigint, used_bytes bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM require_admin();
    UPDATE quotas AS q SET limit_bytes = coalesce(new_limit, q.limit_bytes) WHERE q.user_id = who;
    RETURN QUERY
        UPDATE users AS u SET
            ai_provider = coalesce(new_provider, u.ai_provider),
            ai_model    = coalesce(new_model, u.ai_model)
        FROM quotas AS q WHERE u.id = who AND q.user_id = u.id
        RETURNING u.id, u.email, u.role, u.ai_provider, u.ai_model, q.limit_bytes, q.used_bytes;
END
$$;

CREATE FUNCTION start_session(session uuid, who uuid, checked_hash text, new_family bytea, new_token bytea, life double precision)
    RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM FROM users AS u WHERE u.id = who AND u.password_hash = checked_hash FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM sessions AS s WHERE s.user_id = who AND (s.expires_at < now() OR s.id IN (
        SELECT o.id FROM sessions AS o WHERE o.user_id = who ORDER BY o.rotated_at DESC OFFSET 99));
    INSERT INTO sessions (id, user_id, family, token, expires_at)
    VALUES (session, who, new_family, new_token, now() + make_interval(secs => life));
    RETURN true;
END
$$;

CREATE FUNCTION refresh_session(the_family bytea, shown bytea, new_token bytea, new_nonce bytea, idle double precision, grace double precision)
    RETURNS TABLE (outcome text, session uuid, user_id uuid, role text, nonce bytea)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    s      sessions;
    result text;
BEGIN
    SELECT x.* INTO s FROM sessions AS x WHERE x.family = the_family FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF now() > s.expires_at OR now() > s.rotated_at + make_interval(secs => idle) THEN
        result := 'over';
    ELSIF shown = s.token THEN
        UPDATE sessions AS x SET token = new_token, previous = s.token, nonce = new_nonce, rotated_at = now() WHERE x.id = s.id;
        s.nonce := new_nonce;
        result := 'rotated';
    ELSIF shown = s.previous AND now() <= s.rotated_at + make_interval(secs => grace) THEN
        result := 'repeated';
    ELSE
        result := 'reused';
    END IF;
    IF result IN ('over', 'reused') THEN
        DELETE FROM sessions AS x WHERE x.id = s.id;
    END IF;
    RETURN QUERY SELECT result, s.id, u.id, u.role, s.nonce FROM users AS u WHERE u.id = s.user_id;
END
$$;

CREATE FUNCTION end_session(the_family bytea) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$ DELETE FROM sessions WHERE family = the_family $$;

CREATE FUNCTION change_own_password(checked_hash text, new_hash text, keep uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    UPDATE users SET password_hash = new_hash WHERE id = current_user_id() AND password_hash = checked_hash;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM sessions WHERE user_id = current_user_id() AND id IS DISTINCT FROM keep;
    RETURN true;
END
$$;

CREATE FUNCTION identity_account(the_issuer text, the_subject text, new_id uuid, new_email text, new_limit bigint)
    RETURNS TABLE (outcome text, id uuid, role text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    RETURN QUERY
        SELECT CASE WHEN u.id IS NULL THEN 'deleted' ELSE 'known' END, u.id, u.role
        FROM user_identities AS i LEFT JOIN users AS u ON u.id = i.user_id
        WHERE i.issuer = the_issuer AND i.subject = the_subject;
    IF FOUND THEN
        RETURN;
    END IF;
    IF new_email IS NULL THEN
        RETURN QUERY SELECT 'unknown', NULL::uuid, NULL::text;
        RETURN;
    END IF;
    BEGIN
        INSERT INTO users (id, email) VALUES (new_id, new_email);
        INSERT INTO quotas (user_id, limit_bytes) VALUES (new_id, new_limit);
        INSERT INTO user_identities (issuer, subject, user_id) VALUES (the_issuer, the_subject, new_id);
        RETURN QUERY SELECT 'made', u.id, u.role FROM users AS u WHERE u.id = new_id;
    EXCEPTION WHEN unique_violation THEN
        -- A concurrent request created the same user first, or another user has the address.
        RETURN QUERY
            SELECT 'known', u.id, u.role FROM user_identities AS i JOIN users AS u ON u.id = i.user_id
            WHERE i.issuer = the_issuer AND i.subject = the_subject;
        IF NOT FOUND THEN
            RETURN QUERY SELECT 'taken', NULL::uuid, NULL::text;
        END IF;
    END;
END
$$;

CREATE FUNCTION require_user(viewer uuid) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM users AS u WHERE u.id = viewer) THEN
        RAISE EXCEPTION 'no such user' USING ERRCODE = 'IN401';
    END IF;
END
$$;

CREATE FUNCTION document_view(viewer uuid, wanted uuid, OUT document documents, OUT topics jsonb)
    LANGUAGE plpgsql SET enable_seqscan = off
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

CREATE FUNCTION create_document(viewer uuid, new_id uuid, new_filename text, new_type text, new_size bigint, at timestamptz,
        key text, max_pending bigint, OUT before uuid, OUT left_bytes bigint, OUT pending bigint)
    LANGUAGE plpgsql SET enable_seqscan = off
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

CREATE FUNCTION create_documents(viewers uuid[], new_ids uuid[], new_filenames text[], new_types text[], new_sizes bigint[],
        created timestamptz[], max_pending bigint[])
    RETURNS TABLE (left_bytes bigint, pending bigint)
    LANGUAGE plpgsql SET enable_seqscan = off
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

REVOKE ALL ON FUNCTION begin_user(uuid), login_account(text), admin_user(uuid),
    admin_change_user(uuid, bigint, text, text),
    start_session(uuid, uuid, text, bytea, bytea, double precision),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision),
    end_session(bytea), change_own_password(text, text, uuid),
    identity_account(text, text, uuid, text, bigint), require_user(uuid), document_view(uuid, uuid),
    create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint),
    create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[])
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION begin_user(uuid), login_account(text), admin_user(uuid),
    admin_change_user(uuid, bigint, text, text),
    start_session(uuid, uuid, text, bytea, bytea, double precision),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision),
    end_session(bytea), change_own_password(text, text, uuid),
    identity_account(text, text, uuid, text, bigint), require_user(uuid), document_view(uuid, uuid),
    create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint),
    create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[])
    TO api;

DELETE FROM applied_migrations WHERE version = 18;

COMMIT;
