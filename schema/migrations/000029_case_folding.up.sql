-- Compares email addresses and topic names by Unicode case folding, records which AI providers are
-- configured, and lets users see whether they have a password.
--
-- Until now they were compared by lower(), for which "Straße" and "STRASSE", "Σίσυφος" and
-- "ΣΊΣΥΦΟΣ", and an "é" that is one character and one that is two are different.
BEGIN;

-- Users whose addresses differ only in case or normalization form could exist. The oldest of them
-- has the address; the others keep their accounts and are found by the exact spelling of theirs.
ALTER TABLE users ADD COLUMN exact_email boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN users.exact_email IS 'an older user has the same address, ignoring case and Unicode normalization form; this one is found only by the exact spelling';
UPDATE users SET exact_email = true FROM (
    SELECT id, row_number() OVER (PARTITION BY case_fold(email) ORDER BY created_at, id) AS n
    FROM users) AS same
    WHERE same.id = users.id AND same.n > 1;
DO $$
DECLARE
    addresses text;
BEGIN
    SELECT string_agg(email, ', ' ORDER BY email) INTO addresses
        FROM (SELECT email FROM users WHERE exact_email LIMIT 100) AS first;
    IF addresses IS NOT NULL THEN
        RAISE NOTICE 'these accounts have the same address as an older one, ignoring case and Unicode normalization form, and are found only by the exact spelling: %', addresses;
    END IF;
END
$$;
DROP INDEX users_email_ignoring_case;
CREATE UNIQUE INDEX users_email_ignoring_case ON users (case_fold(email)) WHERE NOT exact_email;

-- Returns the account with the email address, in this spelling or ignoring case and normalization
-- form. It is the only way for the role api to read another user's password hash.
CREATE OR REPLACE FUNCTION account_by_email(email text)
    RETURNS TABLE (id uuid, password_hash text, role text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT u.id, coalesce(u.password_hash, ''), u.role FROM users AS u
    WHERE u.email = account_by_email.email
        OR (case_fold(u.email) = case_fold(account_by_email.email) AND NOT u.exact_email)
    ORDER BY u.email = account_by_email.email DESC LIMIT 1
$$;

-- Topics whose names differ only in case or normalization form get different names: the oldest
-- keeps its name, and the others become "name (2)" and so on.
DROP INDEX topics_name_in_namespace;
DO $$
DECLARE
    same record;
    new_name text;
BEGIN
    FOR same IN
        SELECT id, user_id, name FROM (
            SELECT id, user_id, name,
                row_number() OVER (PARTITION BY user_id, case_fold(name) ORDER BY created_at, id) AS n
            FROM topics) AS t
        WHERE n > 1
    LOOP
        FOR i IN 2 .. 1000 LOOP
            new_name := rtrim(left(same.name, 33)) || ' (' || i || ')';
            EXIT WHEN NOT EXISTS (SELECT FROM topics AS t
                WHERE t.user_id IS NOT DISTINCT FROM same.user_id
                    AND case_fold(t.name) = case_fold(new_name));
        END LOOP;
        UPDATE topics SET name = new_name WHERE id = same.id;
    END LOOP;
END
$$;
CREATE UNIQUE INDEX topics_name_in_namespace ON topics (user_id, case_fold(name))
    NULLS NOT DISTINCT;

ALTER TABLE users ADD COLUMN has_password boolean NOT NULL
    GENERATED ALWAYS AS (password_hash IS NOT NULL) STORED;
GRANT SELECT (has_password) ON users TO api;

DROP FUNCTION admin_users(uuid, integer), admin_user(uuid),
    admin_change_user(uuid, bigint, text, text);

-- Returns up to max_rows users in the order of their ids, starting after the id, or with the first
-- user if it is NULL. Only an administrator may call it.
CREATE FUNCTION admin_users(after uuid, max_rows integer)
    RETURNS TABLE (id uuid, email text, role text, ai_provider text, ai_model text,
        has_password boolean, created_at timestamptz, limit_bytes bigint, used_bytes bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM require_admin();
    -- OFFSET 0 makes the planner look each quota up by the index.
    RETURN QUERY
        SELECT u.id, u.email, u.role, u.ai_provider, u.ai_model, u.has_password, u.created_at,
            q.limit_bytes, q.used_bytes
        FROM users AS u CROSS JOIN LATERAL (
            SELECT x.limit_bytes, x.used_bytes FROM quotas AS x WHERE x.user_id = u.id OFFSET 0) AS q
        WHERE u.id > coalesce(admin_users.after, '00000000-0000-0000-0000-000000000000')
        ORDER BY u.id LIMIT max_rows;
END
$$;

-- Returns a user, or no row if the user does not exist. Only an administrator may call it.
CREATE FUNCTION admin_user(target uuid)
    RETURNS TABLE (id uuid, email text, role text, ai_provider text, ai_model text,
        has_password boolean, created_at timestamptz, limit_bytes bigint, used_bytes bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM require_admin();
    RETURN QUERY
        SELECT u.id, u.email, u.role, u.ai_provider, u.ai_model, u.has_password, u.created_at,
            q.limit_bytes, q.used_bytes
        FROM users AS u JOIN quotas AS q ON q.user_id = u.id WHERE u.id = target;
END
$$;

-- Changes a user and returns it, or no row if the user does not exist. NULL leaves a value as it
-- is; '' selects the default. Only an administrator may call it.
CREATE FUNCTION admin_change_user(target uuid, new_limit bigint, new_provider text, new_model text)
    RETURNS TABLE (id uuid, email text, role text, ai_provider text, ai_model text,
        has_password boolean, created_at timestamptz, limit_bytes bigint, used_bytes bigint)
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
        RETURNING u.id, u.email, u.role, u.ai_provider, u.ai_model, u.has_password, u.created_at,
            q.limit_bytes, q.used_bytes;
END
$$;

REVOKE ALL ON FUNCTION admin_users(uuid, integer), admin_user(uuid),
    admin_change_user(uuid, bigint, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION admin_users(uuid, integer), admin_user(uuid),
    admin_change_user(uuid, bigint, text, text) TO api;

CREATE TABLE ai_providers (
    provider text PRIMARY KEY,
    noted_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ai_providers IS 'the AI providers that consumers have configured';
COMMENT ON COLUMN ai_providers.noted_at IS 'when a consumer last noted that it has the provider';
ALTER TABLE ai_providers ENABLE ROW LEVEL SECURITY;
ALTER TABLE ai_providers FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON ai_providers TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON ai_providers TO worker USING (true) WITH CHECK (true);
CREATE POLICY api ON ai_providers FOR SELECT TO api USING (true);
GRANT SELECT, INSERT, UPDATE (noted_at) ON ai_providers TO worker;
GRANT SELECT ON ai_providers TO api;

INSERT INTO applied_migrations (version) VALUES (29) ON CONFLICT DO NOTHING;

COMMIT;
