BEGIN;

-- The previous version compares email addresses by lower(), for which "İ" and "i" can be the same
-- letter.
DO $$
DECLARE
    addresses text;
BEGIN
    SELECT string_agg(email, ', ' ORDER BY email) INTO addresses FROM (
        SELECT email, count(*) OVER (PARTITION BY lower(email)) AS n FROM users) AS same
        WHERE same.n > 1;
    IF addresses IS NOT NULL THEN
        RAISE EXCEPTION 'the previous version does not distinguish these email addresses: %', addresses
            USING HINT = 'Remove all accounts but one of each address with "intray users remove", or stay at this version';
    END IF;
END
$$;

DROP TABLE ai_providers;

DROP FUNCTION admin_users(uuid, integer), admin_user(uuid),
    admin_change_user(uuid, bigint, text, text);

CREATE FUNCTION admin_users(after uuid, max_rows integer)
    RETURNS TABLE (id uuid, email text, role text, ai_provider text, ai_model text,
        limit_bytes bigint, used_bytes bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM require_admin();
    -- OFFSET 0 makes the planner look each quota up by the index.
    RETURN QUERY
        SELECT u.id, u.email, u.role, u.ai_provider, u.ai_model, q.limit_bytes, q.used_bytes
        FROM users AS u CROSS JOIN LATERAL (
            SELECT x.limit_bytes, x.used_bytes FROM quotas AS x WHERE x.user_id = u.id OFFSET 0) AS q
        WHERE u.id > coalesce(admin_users.after, '00000000-0000-0000-0000-000000000000')
        ORDER BY u.id LIMIT max_rows;
END
$$;

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

REVOKE ALL ON FUNCTION admin_users(uuid, integer), admin_user(uuid),
    admin_change_user(uuid, bigint, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION admin_users(uuid, integer), admin_user(uuid),
    admin_change_user(uuid, bigint, text, text) TO api;

ALTER TABLE users DROP COLUMN has_password;

-- The same holds for the names of topics: the oldest keeps its name, and the others become
-- "name (2)" and so on.
DROP INDEX topics_name_in_namespace;
DO $$
DECLARE
    same record;
    new_name text;
BEGIN
    FOR same IN
        SELECT id, user_id, name FROM (
            SELECT id, user_id, name,
                row_number() OVER (PARTITION BY user_id, lower(name) ORDER BY created_at, id) AS n
            FROM topics) AS t
        WHERE n > 1
    LOOP
        FOR i IN 2 .. 1000 LOOP
            new_name := rtrim(left(same.name, 33)) || ' (' || i || ')';
            EXIT WHEN NOT EXISTS (SELECT FROM topics AS t
                WHERE t.user_id IS NOT DISTINCT FROM same.user_id AND lower(t.name) = lower(new_name));
        END LOOP;
        UPDATE topics SET name = new_name WHERE id = same.id;
        RAISE NOTICE 'the topic "%" is renamed to "%", because the previous version does not distinguish its name from another one', same.name, new_name;
    END LOOP;
END
$$;
CREATE UNIQUE INDEX topics_name_in_namespace ON topics (user_id, lower(name)) NULLS NOT DISTINCT;

CREATE OR REPLACE FUNCTION account_by_email(email text)
    RETURNS TABLE (id uuid, password_hash text, role text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT u.id, coalesce(u.password_hash, ''), u.role FROM users AS u
    WHERE lower(u.email) = lower(account_by_email.email)
$$;

DROP INDEX users_email_ignoring_case;
CREATE UNIQUE INDEX users_email_ignoring_case ON users (lower(email));
ALTER TABLE users DROP COLUMN exact_email;

DELETE FROM applied_migrations WHERE version = 29;

COMMIT;
