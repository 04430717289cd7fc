-- Sessions that are kept up with refresh tokens, and users of an OIDC issuer.
-- Both are reached through functions only: the role api has no right to the
-- tables, so that no query of its own can read or make a session.
BEGIN;

-- A refresh token has two random halves: the first names the family of all tokens
-- of one session, the second changes at each use. Only their SHA-256 are kept.
-- Whoever shows the family's half with another second half than the
-- current one has an old token.
CREATE TABLE sessions (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    family     bytea NOT NULL UNIQUE CHECK (octet_length(family) = 32),
    token      bytea NOT NULL CHECK (octet_length(token) = 32),
    previous   bytea CHECK (octet_length(previous) = 32),
    nonce      bytea,
    rotated_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
COMMENT ON COLUMN sessions.nonce IS 'what made the current token out of the previous one, together with the server''s key; useless without both';
CREATE INDEX sessions_of_user ON sessions (user_id, rotated_at);

-- Who a subject of an OIDC issuer is here. user_id NULL: the user was deleted and
-- does not come back by signing in.
CREATE TABLE user_identities (
    issuer   text NOT NULL,
    subject  text NOT NULL,
    user_id  uuid REFERENCES users (id) ON DELETE SET NULL,
    seen_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX user_identities_of_user ON user_identities (user_id);

---------------------------------------------------------------- sessions

-- Starts a session, unless the password is not any more the one that was
-- checked: a change of the password waits for this, or was first. Sessions of the
-- user that are over go, and the least recently used of more than 100.
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

-- Replaces a session's token. What comes out: 'rotated', with the nonce given;
-- 'repeated', the previous token within the grace, with the nonce that made the
-- current one; 'reused', an older token, or 'over': the session has ended. No row:
-- there is no such session.
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

-- One's own password hash; '' for a user without a password.
CREATE FUNCTION own_password_hash() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$ SELECT coalesce(password_hash, '') FROM users WHERE id = current_user_id() $$;

-- Changes one's own password and ends all sessions but the one to keep, unless the
-- password is not any more the one that was checked.
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

---------------------------------------------------------------- users of an issuer

-- The user of a subject, who is made if there is none yet and an email address is
-- given. What comes out: 'known' or 'made', with the user; 'deleted', the user
-- was here once; 'taken', another user has the address; 'unknown'.
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
        -- The same user's other request was first, or somebody else has the address.
        RETURN QUERY
            SELECT 'known', u.id, u.role FROM user_identities AS i JOIN users AS u ON u.id = i.user_id
            WHERE i.issuer = the_issuer AND i.subject = the_subject;
        IF NOT FOUND THEN
            RETURN QUERY SELECT 'taken', NULL::uuid, NULL::text;
        END IF;
    END;
END
$$;

-- Administration: one user, or no row.
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

---------------------------------------------------------------- what each role may do

REVOKE ALL ON sessions, user_identities FROM PUBLIC;
REVOKE ALL ON FUNCTION start_session(uuid, uuid, text, bytea, bytea, double precision),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision), end_session(bytea),
    own_password_hash(), change_own_password(text, text, uuid),
    identity_account(text, text, uuid, text, bigint), admin_user(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION start_session(uuid, uuid, text, bytea, bytea, double precision),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision), end_session(bytea),
    own_password_hash(), change_own_password(text, text, uuid),
    identity_account(text, text, uuid, text, bigint), admin_user(uuid) TO api;

-- Forced: without a policy for a role no row is there for it, whatever a later
-- grant says.
ALTER TABLE sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE user_identities ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON sessions TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY owner ON user_identities TO CURRENT_USER USING (true) WITH CHECK (true);

INSERT INTO applied_migrations (version) VALUES (5) ON CONFLICT DO NOTHING;

COMMIT;
