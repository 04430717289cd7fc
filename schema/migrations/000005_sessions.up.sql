-- Adds sessions with refresh tokens, and users from OIDC issuers. The role api reaches both only
-- through functions. It has no privileges on the tables, so none of its own queries can read or
-- create a session.
BEGIN;

-- A refresh token has two random halves. The first identifies the family, which is all tokens of
-- one session; the second changes with each use. Only the SHA-256 hashes of the halves are stored,
-- as family and token. A token with a stored family whose second half is not the current one is an
-- old token.
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

-- Maps the subjects of OIDC issuers to users. user_id NULL: the user was deleted; signing in does
-- not create the user again.
CREATE TABLE user_identities (
    issuer   text NOT NULL,
    subject  text NOT NULL,
    user_id  uuid REFERENCES users (id) ON DELETE SET NULL,
    seen_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX user_identities_of_user ON user_identities (user_id);

---------------- sessions

-- Starts a session that expires after life seconds and returns true, or returns false if the user's
-- password hash is no longer checked_hash. The row lock makes a concurrent change of the password
-- wait. It also deletes the user's expired sessions, and all but the 99 that were used most
-- recently, so that a user has at most 100.
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

-- Replaces the token of a session. A session expires at expires_at, or idle seconds after its last
-- rotation if that is earlier. The previous token is accepted for grace seconds after the rotation.
-- The outcomes are:
--   rotated    the shown token was the current one; the session has the new token and nonce
--   repeated   it was the previous token, within the grace period; nothing changed, and nonce is
--              the one that the current token was derived with
--   reused     it was an older token; the session is deleted
--   over       the session had expired; it is deleted
-- There is no row if the session does not exist.
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

-- Returns the current user's password hash, or '' if the user has no password.
CREATE FUNCTION own_password_hash() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$ SELECT coalesce(password_hash, '') FROM users WHERE id = current_user_id() $$;

-- Sets the current user's password hash, deletes the user's sessions other than keep, and returns
-- true. It returns false, and changes nothing, if the hash is no longer checked_hash.
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

---------------- OIDC identities

-- Returns the user with the identity of an OIDC issuer, and creates the user if there is none and
-- new_email is not NULL. The outcomes are:
--   known     the user existed
--   made      the user was created
--   deleted   the user existed once and was deleted
--   taken     another user has the email address
--   unknown   there is no such user, and no email address to create one with
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

-- Returns a user, or no row if the user does not exist. Only an administrator may call it.
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

---------------- privileges

REVOKE ALL ON sessions, user_identities FROM PUBLIC;
REVOKE ALL ON FUNCTION start_session(uuid, uuid, text, bytea, bytea, double precision),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision), end_session(bytea),
    own_password_hash(), change_own_password(text, text, uuid),
    identity_account(text, text, uuid, text, bigint), admin_user(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION start_session(uuid, uuid, text, bytea, bytea, double precision),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision), end_session(bytea),
    own_password_hash(), change_own_password(text, text, uuid),
    identity_account(text, text, uuid, text, bigint), admin_user(uuid) TO api;

-- FORCE applies row-level security also to the owner of the tables. A role without a policy sees no
-- rows, even if a later migration grants it privileges on the tables.
ALTER TABLE sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE user_identities ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON sessions TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY owner ON user_identities TO CURRENT_USER USING (true) WITH CHECK (true);

INSERT INTO applied_migrations (version) VALUES (5) ON CONFLICT DO NOTHING;

COMMIT;
