-- The audit trail: who signed in, failed to, changed an account or a system topic, received a
-- download URL, replayed, dropped or repaired. docs/adr/0037-audit-trail.md gives the reasons.
--
-- Changes of accounts, quotas, system topics, replays and the key of the proofs are recorded by
-- triggers, so that no statement changes them without a record, whichever role executes it.
--
-- API processes of earlier versions do not work with this schema.
BEGIN;

CREATE TABLE audit_events (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    at          timestamptz NOT NULL DEFAULT now(),
    kind        text NOT NULL CHECK (kind IN (
        'signed_in', 'sign_in_failed', 'signed_out', 'refresh_token_reused', 'password_changed',
        'role_changed', 'quota_changed', 'ai_settings_changed', 'user_added', 'user_removed',
        'system_topic_added', 'system_topic_changed', 'system_topic_removed', 'proof_key_rotated',
        'download_url_issued', 'replay_started', 'replay_paused', 'replay_resumed',
        'replay_canceled', 'replay_ended', 'dead_letters_retried', 'dead_letters_dropped',
        'repair_started', 'repair_ended', 'provisioned')),
    actor_id    uuid,
    actor       text CHECK (char_length(actor) <= 320),
    user_id     uuid,
    account     text CHECK (char_length(account) <= 320),
    document_id uuid,
    address     inet,
    count       bigint NOT NULL DEFAULT 1 CHECK (count > 0),
    details     jsonb NOT NULL DEFAULT '{}' CHECK (
        jsonb_typeof(details) = 'object' AND octet_length(details::text) <= 4096)
);
COMMENT ON TABLE audit_events IS 'what happened, for 90 days; there are no foreign keys, because it outlasts what it is about';
COMMENT ON COLUMN audit_events.at IS 'of sign_in_failed: the minute';
COMMENT ON COLUMN audit_events.actor_id IS 'the user who did it; NULL: an operator, a server or an unknown person';
COMMENT ON COLUMN audit_events.actor IS 'the email address of the user at that time, the name of an operator, or a role';
COMMENT ON COLUMN audit_events.user_id IS 'the user whom it is about';
COMMENT ON COLUMN audit_events.account IS 'the email address of that user at that time, or the one that somebody tried';
COMMENT ON COLUMN audit_events.address IS 'the address of the client';
COMMENT ON COLUMN audit_events.count IS 'how often it happened in the minute';

CREATE INDEX audit_events_newest ON audit_events (at, id);
CREATE INDEX audit_events_by_kind ON audit_events (kind, at, id);
CREATE INDEX audit_events_by_user ON audit_events (user_id, at, id) WHERE user_id IS NOT NULL;
CREATE INDEX audit_events_by_actor ON audit_events (actor_id, at, id)
    WHERE actor_id IS DISTINCT FROM user_id;
CREATE INDEX audit_events_by_account ON audit_events (case_fold(account), at, id)
    WHERE account IS NOT NULL;
CREATE UNIQUE INDEX audit_events_failed ON audit_events (at, account, address) NULLS NOT DISTINCT
    WHERE kind = 'sign_in_failed';

-- The policies bind the owner, too: events are added, the count of failed sign-ins grows, and what
-- is 90 days old can be deleted. Nobody else has any privilege on the table.
ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;
REVOKE ALL ON audit_events FROM PUBLIC;
CREATE POLICY owner_reads ON audit_events FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY owner_adds ON audit_events FOR INSERT TO CURRENT_USER WITH CHECK (true);
CREATE POLICY owner_counts ON audit_events FOR UPDATE TO CURRENT_USER
    USING (kind = 'sign_in_failed') WITH CHECK (kind = 'sign_in_failed');
CREATE POLICY owner_prunes ON audit_events FOR DELETE TO CURRENT_USER
    USING (at < now() - interval '90 days');

---------------- recording

-- Adds an event about a user, or about none. The actor is the user whom a proof or the setting
-- intray.acting_user names. An operator's session has the settings intray.actor and intray.reason,
-- which are ignored in the sessions of the servers' roles. The setting intray.address is the address
-- of the client.
CREATE FUNCTION audit(kind text, about uuid, account text, details jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    is_server CONSTANT boolean := session_user IN ('api', 'auth', 'worker');
    acting CONSTANT uuid := coalesce(current_user_id(),
        nullif(current_setting('intray.acting_user', true), '')::uuid);
    operator CONSTANT text := CASE WHEN is_server THEN nullif(nullif(session_user, 'api'), 'auth')
        ELSE coalesce(nullif(current_setting('intray.actor', true), ''), session_user) END;
    reason CONSTANT text := CASE WHEN NOT is_server
        THEN left(nullif(current_setting('intray.reason', true), ''), 300) END;
BEGIN
    INSERT INTO audit_events AS e (kind, actor_id, actor, user_id, account, address, details)
        SELECT audit.kind, acting,
            left(coalesce((SELECT u.email FROM users AS u WHERE u.id = acting), operator), 320),
            about,
            left(coalesce(audit.account, (SELECT u.email FROM users AS u WHERE u.id = about)), 320),
            nullif(current_setting('intray.address', true), '')::inet,
            jsonb_strip_nulls(audit.details || jsonb_build_object('reason', reason));
END
$$;

-- Makes the user the actor of what the transaction changes, from the address.
CREATE FUNCTION act_as(acting uuid, client inet) RETURNS void
    LANGUAGE sql
    AS $$
    SELECT set_config('intray.acting_user', coalesce(acting::text, ''), true),
        set_config('intray.address', coalesce(client::text, ''), true)
$$;

CREATE FUNCTION audit_user() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM audit('user_added', NEW.id, NEW.email, jsonb_build_object('role', NEW.role));
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM audit('user_removed', OLD.id, OLD.email, '{}');
    ELSE
        IF NEW.password_hash IS DISTINCT FROM OLD.password_hash THEN
            PERFORM audit('password_changed', NEW.id, NEW.email, CASE
                WHEN NEW.password_hash IS NULL THEN '{"removed": true}'::jsonb ELSE '{}' END);
        END IF;
        IF NEW.role IS DISTINCT FROM OLD.role THEN
            PERFORM audit('role_changed', NEW.id, NEW.email,
                jsonb_build_object('from', OLD.role, 'to', NEW.role));
        END IF;
        IF (NEW.ai_provider, NEW.ai_model) IS DISTINCT FROM (OLD.ai_provider, OLD.ai_model) THEN
            PERFORM audit('ai_settings_changed', NEW.id, NEW.email, jsonb_build_object(
                'from_provider', left(OLD.ai_provider, 100), 'to_provider', left(NEW.ai_provider, 100),
                'from_model', left(OLD.ai_model, 100), 'to_model', left(NEW.ai_model, 100)));
        END IF;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_added AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION audit_user();
CREATE TRIGGER audit_changed AFTER UPDATE OF password_hash, role, ai_provider, ai_model ON users
    FOR EACH ROW EXECUTE FUNCTION audit_user();
CREATE TRIGGER audit_removed AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION audit_user();

CREATE FUNCTION audit_quota() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM audit('quota_changed', NEW.user_id, NULL,
        jsonb_build_object('from', OLD.limit_bytes, 'to', NEW.limit_bytes));
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_changed AFTER UPDATE OF limit_bytes ON quotas FOR EACH ROW
    WHEN (NEW.limit_bytes IS DISTINCT FROM OLD.limit_bytes) EXECUTE FUNCTION audit_quota();

CREATE FUNCTION audit_system_topic() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM audit('system_topic_removed', NULL, NULL,
            jsonb_build_object('topic_id', OLD.id, 'name', OLD.name));
    ELSE
        PERFORM audit(
            CASE TG_OP WHEN 'INSERT' THEN 'system_topic_added' ELSE 'system_topic_changed' END,
            NULL, NULL, jsonb_build_object('topic_id', NEW.id, 'name', NEW.name));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_added AFTER INSERT ON topics FOR EACH ROW
    WHEN (NEW.user_id IS NULL) EXECUTE FUNCTION audit_system_topic();
CREATE TRIGGER audit_changed AFTER UPDATE ON topics FOR EACH ROW
    WHEN (NEW.user_id IS NULL AND NEW IS DISTINCT FROM OLD) EXECUTE FUNCTION audit_system_topic();
CREATE TRIGGER audit_removed AFTER DELETE ON topics FOR EACH ROW
    WHEN (OLD.user_id IS NULL) EXECUTE FUNCTION audit_system_topic();

CREATE FUNCTION audit_replay() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM audit(
        CASE NEW.status
            WHEN 'running' THEN
                CASE OLD.status WHEN 'planning' THEN 'replay_started' ELSE 'replay_resumed' END
            WHEN 'paused' THEN 'replay_paused'
            WHEN 'canceled' THEN 'replay_canceled'
            ELSE 'replay_ended'
        END, NULL, NULL, jsonb_build_object('name', left(NEW.name, 100), 'to', NEW.target,
            'events', NEW.matched, 'requested_by', left(NEW.actor, 100),
            'replay_reason', left(NEW.reason, 300)));
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_changed AFTER UPDATE OF status ON replays FOR EACH ROW
    WHEN (NEW.status IS DISTINCT FROM OLD.status) EXECUTE FUNCTION audit_replay();

CREATE FUNCTION audit_proof_key() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$ BEGIN PERFORM audit('proof_key_rotated', NULL, NULL, '{}'); RETURN NULL; END $$;
CREATE TRIGGER audit_changed AFTER UPDATE ON proof_keys FOR EACH ROW
    EXECUTE FUNCTION audit_proof_key();

---------------- sign-ins

DROP FUNCTION start_session(uuid, uuid, text, bytea, bytea, double precision),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision),
    end_session(bytea), change_password(uuid, text, text, uuid),
    identity_account(text, text, uuid, text, bigint);

-- Starts a session of a user from the address and returns true. It returns false and does nothing if
-- the user's password hash is no longer verified_hash. A user has at most 100 sessions; the ones
-- that were not refreshed for the longest time are deleted.
CREATE FUNCTION start_session(new_id uuid, target uuid, verified_hash text, new_family bytea,
        new_token bytea, ttl_seconds double precision, client inet) RETURNS boolean
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
    PERFORM act_as(target, client);
    PERFORM audit('signed_in', target, NULL, '{}');
    RETURN true;
END
$$;

-- Uses a refresh token from the address: replaces it, repeats the last replacement, or deletes the
-- session. It returns no row if there is no such session.
CREATE FUNCTION refresh_session(session_family bytea, presented_token bytea, new_token bytea,
        new_nonce bytea, idle_seconds double precision, grace_seconds double precision, client inet)
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
        -- Who presents it may be the user or a thief, so the event has no actor.
        PERFORM act_as(NULL, client);
        PERFORM audit('refresh_token_reused', s.user_id, NULL, '{}');
    END IF;
    IF result IN ('expired', 'reused') THEN
        DELETE FROM sessions AS x WHERE x.id = s.id;
    END IF;
    RETURN QUERY SELECT result, s.id, u.id, u.role, s.nonce FROM users AS u WHERE u.id = s.user_id;
END
$$;

-- Deletes the session with the family, if there is one, for a client at the address.
CREATE FUNCTION end_session(session_family bytea, client inet) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    ended uuid;
BEGIN
    DELETE FROM sessions AS s WHERE s.family = session_family RETURNING s.user_id INTO ended;
    IF FOUND THEN
        PERFORM act_as(ended, client);
        PERFORM audit('signed_out', ended, NULL, '{}');
    END IF;
END
$$;

-- Sets the password hash of a user, deletes the user's sessions other than kept_session, and
-- returns true. It returns false and changes nothing if the hash is no longer verified_hash.
CREATE FUNCTION change_password(target uuid, verified_hash text, new_hash text, kept_session uuid,
        client inet) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM act_as(target, client);
    UPDATE users AS u SET password_hash = new_hash
        WHERE u.id = target AND u.password_hash = verified_hash;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM sessions AS s WHERE s.user_id = target AND s.id IS DISTINCT FROM kept_session;
    RETURN true;
END
$$;

-- Returns the account of an issuer's subject, which it creates if there is none.
CREATE FUNCTION identity_account(oidc_issuer text, oidc_subject text, new_id uuid, new_email text,
        new_limit bigint, client inet)
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
        PERFORM act_as(new_id, client);
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

---------------- batches

-- Adds to the failed sign-ins of a minute, for the account with the name or a name that no account
-- has. There is one row for each account and address, but at most 30 such rows a minute for
-- accounts, and 10 for other names. Beyond that, failures for accounts are counted without the
-- address, for at most 30 accounts a minute, and failures for other names without the name, from at
-- most 10 addresses; the rest is counted in one row. So whoever invents names or has many addresses
-- adds at most 81 rows a minute. Concurrent calls can exceed that by a few.
CREATE FUNCTION add_failed_sign_ins(minute timestamptz, name text, client inet, failures bigint)
    RETURNS void
    LANGUAGE plpgsql SET enable_seqscan = off
    AS $$
DECLARE
    known uuid;
    tried text := name;
    new_account text := name;
    new_address inet := client;
    is_new boolean;
    is_full boolean;
BEGIN
    SELECT u.id, u.email INTO known, new_account
        FROM account_by_email(tried) AS a JOIN users AS u ON u.id = a.id;
    IF NOT FOUND THEN
        new_account := tried;
    END IF;
    FOR attempt IN 1 .. 2 LOOP
        is_new := NOT EXISTS (SELECT FROM audit_events AS e
            WHERE e.kind = 'sign_in_failed' AND e.at = minute
                AND (e.account = new_account OR e.account IS NULL AND new_account IS NULL)
                AND (e.address = new_address OR e.address IS NULL AND new_address IS NULL));
        EXIT WHEN NOT is_new;
        SELECT count(*) = CASE WHEN known IS NULL THEN 10 ELSE 30 END INTO is_full
            FROM (SELECT FROM audit_events AS e
                WHERE e.kind = 'sign_in_failed' AND e.at = minute
                    AND (e.user_id IS NULL) = (known IS NULL)
                    AND (e.account IS NULL) = (new_account IS NULL)
                    AND (e.address IS NULL) = (new_address IS NULL)
                LIMIT CASE WHEN known IS NULL THEN 10 ELSE 30 END) AS same;
        EXIT WHEN NOT is_full;
        IF attempt = 2 OR client IS NULL THEN
            known := NULL;
            new_account := NULL;
            new_address := NULL;
            EXIT;
        ELSIF known IS NULL THEN
            new_account := NULL;
        ELSE
            new_address := NULL;
        END IF;
    END LOOP;
    INSERT INTO audit_events AS e (kind, at, user_id, account, address, count)
        VALUES ('sign_in_failed', minute, known, new_account, new_address, failures)
        ON CONFLICT (at, account, address) WHERE kind = 'sign_in_failed'
            DO UPDATE SET count = e.count + excluded.count;
END
$$;

-- Adds events of the kinds that the API writes in batches. Each has an id, a kind, its age in
-- seconds, and what is known of user_id, account, document_id, address, count and details. An event
-- whose id exists is not added again, but failed sign-ins are always added.
CREATE FUNCTION record_audit_events(events jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    event record;
BEGIN
    IF EXISTS (SELECT FROM jsonb_to_recordset(events) AS n (kind text)
            WHERE (n.kind IN ('signed_in', 'download_url_issued', 'sign_in_failed')) IS NOT TRUE) THEN
        RAISE EXCEPTION 'the role may not record an event of this kind'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO audit_events (id, at, kind, actor_id, actor, user_id, account, document_id, address,
            details)
        SELECT n.id, now() - make_interval(secs => n.age), n.kind, n.user_id, u.email, n.user_id,
            u.email, n.document_id, n.address, coalesce(n.details, '{}')
        FROM jsonb_to_recordset(events) AS n (id uuid, kind text, age double precision, user_id uuid,
            document_id uuid, address inet, details jsonb)
        LEFT JOIN LATERAL (SELECT x.email FROM users AS x WHERE x.id = n.user_id OFFSET 0) AS u ON true
        WHERE n.kind <> 'sign_in_failed'
        ON CONFLICT (id) DO NOTHING;
    -- In the same order in each transaction, so that concurrent ones cannot deadlock.
    FOR event IN SELECT date_trunc('minute', now() - make_interval(secs => n.age)) AS minute,
            n.account, n.address, n.count
        FROM jsonb_to_recordset(events) AS n (kind text, age double precision, account text,
            address inet, count bigint)
        WHERE n.kind = 'sign_in_failed' ORDER BY minute, n.account, n.address
    LOOP
        PERFORM add_failed_sign_ins(event.minute, event.account, event.address, event.count);
    END LOOP;
END
$$;

-- Records that a repair of bucket and database begins or has ended.
CREATE FUNCTION record_repair(kind text, details jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    IF (kind IN ('repair_started', 'repair_ended')) IS NOT TRUE THEN
        RAISE EXCEPTION 'the role may not record an event of this kind'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM audit(kind, NULL, NULL, details);
END
$$;

-- Deletes up to max_rows events from before the time that are 90 days old, oldest first, and
-- returns their number.
CREATE FUNCTION prune_audit_events(before timestamptz, max_rows integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    SET enable_seqscan = off
    AS $$
DECLARE
    pruned integer;
BEGIN
    DELETE FROM audit_events AS e WHERE e.id = ANY(ARRAY(
        SELECT o.id FROM audit_events AS o
        WHERE o.at < least(before, now() - interval '90 days')
        ORDER BY o.at, o.id LIMIT max_rows));
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END
$$;

REVOKE ALL ON FUNCTION audit(text, uuid, text, jsonb), act_as(uuid, inet), audit_user(),
    audit_quota(), audit_system_topic(), audit_replay(), audit_proof_key(),
    start_session(uuid, uuid, text, bytea, bytea, double precision, inet),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision, inet),
    end_session(bytea, inet), change_password(uuid, text, text, uuid, inet),
    identity_account(text, text, uuid, text, bigint, inet),
    add_failed_sign_ins(timestamptz, text, inet, bigint), record_audit_events(jsonb),
    record_repair(text, jsonb), prune_audit_events(timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    start_session(uuid, uuid, text, bytea, bytea, double precision, inet),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision, inet),
    end_session(bytea, inet), change_password(uuid, text, text, uuid, inet),
    identity_account(text, text, uuid, text, bigint, inet), record_audit_events(jsonb) TO auth;
GRANT EXECUTE ON FUNCTION record_repair(text, jsonb), prune_audit_events(timestamptz, integer)
    TO worker;

INSERT INTO applied_migrations (version) VALUES (40) ON CONFLICT DO NOTHING;

COMMIT;
