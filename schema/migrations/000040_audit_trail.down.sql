-- The trail is deleted.
BEGIN;

DROP TRIGGER audit_added ON users;
DROP TRIGGER audit_changed ON users;
DROP TRIGGER audit_removed ON users;
DROP TRIGGER audit_changed ON quotas;
DROP TRIGGER audit_added ON topics;
DROP TRIGGER audit_changed ON topics;
DROP TRIGGER audit_removed ON topics;
DROP TRIGGER audit_changed ON replays;
DROP TRIGGER audit_changed ON proof_keys;
DROP FUNCTION audit(text, uuid, text, jsonb), act_as(uuid, inet), audit_user(),
    audit_quota(), audit_system_topic(), audit_replay(), audit_proof_key(),
    start_session(uuid, uuid, text, bytea, bytea, double precision, inet),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision, inet),
    end_session(bytea, inet), change_password(uuid, text, text, uuid, inet),
    identity_account(text, text, uuid, text, bigint, inet),
    add_failed_sign_ins(timestamptz, text, inet, bigint), record_audit_events(jsonb),
    record_repair(text, jsonb), prune_audit_events(timestamptz, integer);
DROP TABLE audit_events;

CREATE FUNCTION start_session(new_id uuid, target uuid, verified_hash text, new_family bytea, new_token bytea, ttl_seconds double precision)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
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

CREATE FUNCTION refresh_session(session_family bytea, presented_token bytea, new_token bytea, new_nonce bytea, idle_seconds double precision, grace_seconds double precision)
 RETURNS TABLE(outcome text, session uuid, user_id uuid, role text, nonce bytea)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
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

CREATE FUNCTION end_session(session_family bytea)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $$ DELETE FROM sessions WHERE family = session_family $$;

CREATE FUNCTION change_password(target uuid, verified_hash text, new_hash text, kept_session uuid)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $$
BEGIN
    UPDATE users AS u SET password_hash = new_hash
        WHERE u.id = target AND u.password_hash = verified_hash;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM sessions AS s WHERE s.user_id = target AND s.id IS DISTINCT FROM kept_session;
    RETURN true;
END
$$;

CREATE FUNCTION identity_account(oidc_issuer text, oidc_subject text, new_id uuid, new_email text, new_limit bigint)
 RETURNS TABLE(outcome text, id uuid, role text)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
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

REVOKE ALL ON FUNCTION start_session(uuid, uuid, text, bytea, bytea, double precision),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision),
    end_session(bytea), change_password(uuid, text, text, uuid),
    identity_account(text, text, uuid, text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION start_session(uuid, uuid, text, bytea, bytea, double precision),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision),
    end_session(bytea), change_password(uuid, text, text, uuid),
    identity_account(text, text, uuid, text, bigint) TO auth;

DELETE FROM applied_migrations WHERE version = 40;

COMMIT;
