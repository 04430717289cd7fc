-- Renames tables, columns, indexes and function parameters to the terms that the rest of the
-- project uses. The data does not change.
BEGIN;

---------------- documents

ALTER TABLE documents RENAME COLUMN unannounced_at TO unpublished_at;
ALTER INDEX documents_unannounced RENAME TO documents_unpublished;
ALTER TABLE documents RENAME COLUMN found_type TO detected_type;
COMMENT ON COLUMN documents.detected_type
    IS 'the media type detected from the content; NULL: none, or the same as content_type';
COMMENT ON COLUMN documents.unpublished_at
    IS 'since when the event of the current version is to be published; NULL: it is published';
ALTER INDEX documents_of_status RENAME TO documents_by_status;

ALTER TABLE document_tries RENAME TO document_attempts;
ALTER TABLE document_attempts RENAME COLUMN try TO attempt;
ALTER TABLE document_attempts
    RENAME CONSTRAINT document_tries_try_check TO document_attempts_attempt_check;
ALTER TABLE document_attempts
    RENAME CONSTRAINT document_tries_document_id_fkey TO document_attempts_document_id_fkey;
ALTER INDEX document_tries_of RENAME TO document_attempts_by_document;
ALTER INDEX document_tries_by_time RENAME TO document_attempts_by_time;
ALTER INDEX document_tries_postponed RENAME TO document_attempts_postponed;
COMMENT ON COLUMN document_attempts.attempt
    IS 'counts from 1; 0: postponed before it began; only the last postponed attempt is kept';
COMMENT ON COLUMN document_attempts.next_at IS 'when the next attempt is due; NULL: there is none';

COMMENT ON COLUMN document_examples.example
    IS 'the mean word vector and hashes of stems; contains no text';

---------------- topics of documents

ALTER TABLE document_topics RENAME COLUMN by_hand TO set_manually;
ALTER INDEX document_topics_by_hand RENAME TO document_topics_set_manually;
ALTER INDEX document_topics_of_user RENAME TO document_topics_by_user;
ALTER TRIGGER document_topics_by_hand ON document_topics RENAME TO document_topics_set_manually;
ALTER FUNCTION document_topic_by_hand() RENAME TO document_topic_set_manually;
COMMENT ON COLUMN document_topics.set_manually
    IS 'a user chose the topic; copied from documents.topics_locked when the row is inserted';

CREATE OR REPLACE FUNCTION document_topic_set_manually() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
    AS $$
BEGIN
    NEW.set_manually := coalesce(
        (SELECT d.topics_locked FROM documents AS d WHERE d.id = NEW.document_id), false);
    RETURN NEW;
END
$$;

---------------- dead letters, replays, reconciliation

ALTER TABLE dead_letters RENAME COLUMN tries TO attempts;
COMMENT ON COLUMN dead_letters.attempts IS 'how often the message was delivered to the consumer';
COMMENT ON COLUMN dead_letters.first_at IS 'when the message was stored in the stream';
COMMENT ON COLUMN dead_letters.dead_at IS 'when the message was dead-lettered';

ALTER TABLE replays RENAME COLUMN who TO actor;
ALTER TABLE replays RENAME COLUMN why TO reason;
ALTER TABLE replays RENAME COLUMN last_at TO last_outcome_at;
COMMENT ON COLUMN replays.target IS 'the consumer that handles the events again';
COMMENT ON COLUMN replays.applied
    IS 'set when the replay ends, like the other counts; until then see replay_blocks';
COMMENT ON COLUMN replays.position
    IS 'the position of the last event that was published; the replay resumes after it';
COMMENT ON COLUMN replays.stream
    IS 'where the events are read; empty: they are generated, see replay_generated_events';
COMMENT ON COLUMN replays.stream_created
    IS 'when the stream was created; a recreated stream numbers its messages from 1';
COMMENT ON COLUMN replays.last_outcome_at
    IS 'when the last outcome was recorded; set when the replay ends';

ALTER TABLE replay_blocks RENAME COLUMN decided_at TO last_outcome_at;
COMMENT ON COLUMN replay_blocks.last_outcome_at
    IS 'when an outcome in this block was last recorded';

ALTER TABLE replay_made RENAME TO replay_generated_events;
ALTER TABLE replay_generated_events
    RENAME CONSTRAINT replay_made_pkey TO replay_generated_events_pkey;
ALTER TABLE replay_generated_events
    RENAME CONSTRAINT replay_made_replay_fkey TO replay_generated_events_replay_fkey;

ALTER TABLE reconciliation RENAME COLUMN only_one TO singleton;
ALTER TABLE reconciliation RENAME COLUMN at TO finished_at;
ALTER TABLE reconciliation RENAME COLUMN found TO differences;
ALTER TABLE reconciliation RENAME COLUMN remains TO remaining;
ALTER TABLE reconciliation
    RENAME CONSTRAINT reconciliation_only_one_check TO reconciliation_singleton_check;
ALTER TABLE reconciliation
    RENAME CONSTRAINT reconciliation_remains_check TO reconciliation_remaining_check;
COMMENT ON COLUMN reconciliation.singleton
    IS 'always true, so that the table holds at most one row: the last reconciliation';
COMMENT ON COLUMN reconciliation.differences IS 'the number of differences found, by kind';
COMMENT ON COLUMN reconciliation.remaining
    IS 'the number of differences that an operator has to resolve';

---------------- uploads and sessions

COMMENT ON COLUMN multipart_uploads.aborting_at
    IS 'when the upload was abandoned; the sweeper then aborts it in object storage';
COMMENT ON COLUMN ai_calls.day IS 'the UTC day of the last call';
COMMENT ON COLUMN ai_calls.calls IS 'the number of calls on that day';

ALTER INDEX sessions_of_user RENAME TO sessions_by_user;
ALTER INDEX user_identities_of_user RENAME TO user_identities_by_user;
COMMENT ON COLUMN sessions.nonce
    IS 'derives the current token, together with the previous token and the server''s key';
COMMENT ON COLUMN topics.user_id IS 'NULL: a system topic, visible to every user';
COMMENT ON COLUMN user_identities.user_id
    IS 'NULL: the user was deleted; signing in does not create the user again';

---------------- functions

-- PostgreSQL cannot rename a parameter, so each of these functions is dropped and created again,
-- with the privileges that it had.
DROP FUNCTION begin_user(uuid), login_account(text), admin_user(uuid),
    admin_change_user(uuid, bigint, text, text),
    start_session(uuid, uuid, text, bytea, bytea, double precision),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision),
    end_session(bytea), change_own_password(text, text, uuid),
    identity_account(text, text, uuid, text, bigint),
    require_user(uuid), document_view(uuid, uuid),
    create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint),
    create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[]);

-- Binds the transaction to the user and returns the user's role. If the user does not exist, it
-- binds the transaction to no user and returns NULL.
CREATE FUNCTION set_current_user(id uuid) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
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

-- Returns the account with the email address, ignoring case. It is the only way for the role api
-- to read another user's password hash.
CREATE FUNCTION account_by_email(email text)
    RETURNS TABLE (id uuid, password_hash text, role text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT u.id, coalesce(u.password_hash, ''), u.role FROM users AS u
    WHERE lower(u.email) = lower(account_by_email.email)
$$;

CREATE OR REPLACE FUNCTION require_admin() RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    IF NOT current_user_is_admin() THEN
        RAISE EXCEPTION 'the current user is not an administrator'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$$;

-- Returns a user, or no row if the user does not exist. Only an administrator may call it.
CREATE FUNCTION admin_user(target uuid)
    RETURNS TABLE (id uuid, email text, role text, ai_provider text, ai_model text,
        limit_bytes bigint, used_bytes bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM require_admin();
    RETURN QUERY
        SELECT u.id, u.email, u.role, u.ai_provider, u.ai_model, q.limit_bytes, q.used_bytes
        FROM users AS u JOIN quotas AS q ON q.user_id = u.id WHERE u.id = target;
END
$$;

-- Sets the attributes of a user for which the new value is not NULL, and returns the user. Only an
-- administrator may call it. It returns no row if the user does not exist.
CREATE FUNCTION admin_change_user(target uuid, new_limit bigint, new_provider text, new_model text)
    RETURNS TABLE (id uuid, email text, role text, ai_provider text, ai_model text,
        limit_bytes bigint, used_bytes bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM require_admin();
    UPDATE quotas AS q SET limit_bytes = coalesce(new_limit, q.limit_bytes)
        WHERE q.user_id = target;
    RETURN QUERY
        UPDATE users AS u SET
            ai_provider = coalesce(new_provider, u.ai_provider),
            ai_model    = coalesce(new_model, u.ai_model)
        FROM quotas AS q WHERE u.id = target AND q.user_id = u.id
        RETURNING u.id, u.email, u.role, u.ai_provider, u.ai_model, q.limit_bytes, q.used_bytes;
END
$$;

-- Starts a session and returns true, or returns false if the user's password hash is no longer
-- verified_hash. The row lock makes a concurrent change of the password wait. It also deletes the
-- user's expired sessions, and all but the 99 that were used most recently.
CREATE FUNCTION start_session(new_id uuid, target uuid, verified_hash text, new_family bytea,
        new_token bytea, ttl_seconds double precision)
    RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM FROM users AS u WHERE u.id = target AND u.password_hash = verified_hash
        FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM sessions AS s WHERE s.user_id = target AND (s.expires_at < now() OR s.id IN (
        SELECT o.id FROM sessions AS o WHERE o.user_id = target
            ORDER BY o.rotated_at DESC OFFSET 99));
    INSERT INTO sessions (id, user_id, family, token, expires_at)
    VALUES (new_id, target, new_family, new_token, now() + make_interval(secs => ttl_seconds));
    RETURN true;
END
$$;

-- Replaces the token of a session. The outcomes are:
--   rotated    the presented token was the current one; the session has the new token and nonce
--   repeated   it was the previous token, within the grace period; nothing changed, and nonce is
--              the one that the current token was derived with
--   reused     it was an older token; the session is deleted
--   expired    the session had expired; it is deleted
-- There is no row if the session does not exist.
CREATE FUNCTION refresh_session(session_family bytea, presented_token bytea, new_token bytea,
        new_nonce bytea, idle_seconds double precision, grace_seconds double precision)
    RETURNS TABLE (outcome text, session uuid, user_id uuid, role text, nonce bytea)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    s      sessions;
    result text;
BEGIN
    SELECT x.* INTO s FROM sessions AS x WHERE x.family = session_family FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF now() > s.expires_at OR now() > s.rotated_at + make_interval(secs => idle_seconds) THEN
        result := 'expired';
    ELSIF presented_token = s.token THEN
        UPDATE sessions AS x
            SET token = new_token, previous = s.token, nonce = new_nonce, rotated_at = now()
            WHERE x.id = s.id;
        s.nonce := new_nonce;
        result := 'rotated';
    ELSIF presented_token = s.previous
            AND now() <= s.rotated_at + make_interval(secs => grace_seconds) THEN
        result := 'repeated';
    ELSE
        result := 'reused';
    END IF;
    IF result IN ('expired', 'reused') THEN
        DELETE FROM sessions AS x WHERE x.id = s.id;
    END IF;
    RETURN QUERY SELECT result, s.id, u.id, u.role, s.nonce FROM users AS u WHERE u.id = s.user_id;
END
$$;

CREATE FUNCTION end_session(session_family bytea) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$ DELETE FROM sessions WHERE family = session_family $$;

-- Sets the current user's password hash, deletes the user's sessions other than kept_session, and
-- returns true. It returns false, and changes nothing, if the hash is no longer verified_hash.
CREATE FUNCTION change_own_password(verified_hash text, new_hash text, kept_session uuid)
    RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
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

-- Returns the user with the identity of an OIDC issuer, and creates the user if there is none and
-- new_email is not NULL. The outcomes are:
--   existing      the user existed
--   created       the user was created
--   deleted       the user existed once and was deleted
--   email_taken   another user has the email address
--   unknown       there is no such user, and no email address to create one with
CREATE FUNCTION identity_account(oidc_issuer text, oidc_subject text, new_id uuid, new_email text,
        new_limit bigint)
    RETURNS TABLE (outcome text, id uuid, role text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    RETURN QUERY
        SELECT CASE WHEN u.id IS NULL THEN 'deleted' ELSE 'existing' END, u.id, u.role
        FROM user_identities AS i LEFT JOIN users AS u ON u.id = i.user_id
        WHERE i.issuer = oidc_issuer AND i.subject = oidc_subject;
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
        INSERT INTO user_identities (issuer, subject, user_id)
            VALUES (oidc_issuer, oidc_subject, new_id);
        RETURN QUERY SELECT 'created', u.id, u.role FROM users AS u WHERE u.id = new_id;
    EXCEPTION WHEN unique_violation THEN
        -- A concurrent request created the same user first, or another user has the address.
        RETURN QUERY
            SELECT 'existing', u.id, u.role
            FROM user_identities AS i JOIN users AS u ON u.id = i.user_id
            WHERE i.issuer = oidc_issuer AND i.subject = oidc_subject;
        IF NOT FOUND THEN
            RETURN QUERY SELECT 'email_taken', NULL::uuid, NULL::text;
        END IF;
    END;
END
$$;

-- Fails with SQLSTATE IN401, a code of this database, if the user does not exist. PostgreSQL's own
-- class 28 (invalid authorization) would be ambiguous: it also means that the role may not connect.
CREATE FUNCTION require_user(id uuid) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM users AS u WHERE u.id = require_user.id) THEN
        RAISE EXCEPTION 'the user does not exist' USING ERRCODE = 'IN401';
    END IF;
END
$$;

-- The functions below bind the transaction to the given user, as set_current_user does, and answer
-- a request in one round trip. They run with the caller's privileges, so row-level security
-- applies. They are written in PL/pgSQL because a session caches the plans of its statements; an
-- SQL function is planned in each transaction. Sequential scans are off because a plan that was
-- cached while a table had a page or two would otherwise scan the table until the next ANALYZE.
--
-- A document or a quota has a foreign key to its user. If one is found, the user exists; therefore
-- require_user is called only if none is found.

-- Returns one of the user's documents and its topics ordered by name. Both are NULL if there is no
-- such document; topics is NULL if the document has none.
CREATE FUNCTION document_view(viewer uuid, document_id uuid, OUT document documents,
        OUT topics jsonb)
    LANGUAGE plpgsql SET enable_seqscan = off
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
END
$$;

-- Stores a new pending document of the owner and returns the rest of the quota in remaining_bytes,
-- and 0 in pending. It stores nothing in these cases:
--   A document was created with the same idempotency key: existing is its id. If the requests are
--   equal, the URL of that document now counts as issued at created.
--   The document does not fit the quota: remaining_bytes is less than the size, or NULL if the
--   owner has no quota.
--   The owner has max_pending pending documents: pending is max_pending.
-- The quota stays locked until the commit, so that concurrent requests cannot exceed max_pending
-- together.
CREATE FUNCTION create_document(owner uuid, new_id uuid, new_filename text, new_type text,
        new_size bigint, created timestamptz, key text, max_pending bigint,
        OUT existing uuid, OUT remaining_bytes bigint, OUT pending bigint)
    LANGUAGE plpgsql SET enable_seqscan = off
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
        WHERE q.user_id = owner FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM require_user(owner);
        RETURN;
    END IF;
    IF new_size > remaining_bytes THEN
        RETURN;
    END IF;
    pending := 0;
    -- The count is in a separate statement, so that it sees what was committed while this function
    -- waited for the lock. Its condition on the status is a range that contains only pending, so
    -- that the planner uses documents_by_status. For an equality, with statistics from before a
    -- burst, it could choose documents_pending and read all users' pending documents.
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

-- Stores the new documents of several requests, none of which has an idempotency key, with one
-- statement and one commit. It binds the transaction to each document's owner in turn, so row-level
-- security decides as in create_document. It never waits for a quota: if another transaction has
-- locked an owner's quota, or the owner has none, remaining_bytes is NULL, the document is not
-- stored, and the caller calls create_document instead. So no user waits for another user's quota,
-- and two calls never wait for each other.
CREATE FUNCTION create_documents(owners uuid[], new_ids uuid[], new_filenames text[],
        new_types text[], new_sizes bigint[], created timestamptz[], max_pending bigint[])
    RETURNS TABLE (remaining_bytes bigint, pending bigint)
    LANGUAGE plpgsql SET enable_seqscan = off
    AS $$
DECLARE
    owner uuid;
BEGIN
    FOR i IN 1 .. cardinality(new_ids) LOOP
        owner := owners[i];
        pending := 0;
        PERFORM set_config('intray.user_id', owner::text, true);
        SELECT q.limit_bytes - q.used_bytes INTO remaining_bytes FROM quotas AS q
            WHERE q.user_id = owner FOR NO KEY UPDATE SKIP LOCKED;
        -- A separate statement with a range and a limit, as in create_document.
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

REVOKE ALL ON FUNCTION set_current_user(uuid), account_by_email(text), admin_user(uuid),
    admin_change_user(uuid, bigint, text, text),
    start_session(uuid, uuid, text, bytea, bytea, double precision),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision),
    end_session(bytea), change_own_password(text, text, uuid),
    identity_account(text, text, uuid, text, bigint), require_user(uuid), document_view(uuid, uuid),
    create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint),
    create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[])
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION set_current_user(uuid), account_by_email(text), admin_user(uuid),
    admin_change_user(uuid, bigint, text, text),
    start_session(uuid, uuid, text, bytea, bytea, double precision),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision),
    end_session(bytea), change_own_password(text, text, uuid),
    identity_account(text, text, uuid, text, bigint), require_user(uuid), document_view(uuid, uuid),
    create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint),
    create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[])
    TO api;

INSERT INTO applied_migrations (version) VALUES (18) ON CONFLICT DO NOTHING;

COMMIT;
