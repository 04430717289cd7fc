-- Migrates the single-user schema to one with many users, and resolves what the single-user data
-- leaves open:
--
--   * Documents without an owner are deleted. Their objects are recorded in object_deletions and
--     deleted after the commit.
--   * All topics are deleted. Administrators create system topics afterwards.
--   * used_bytes of every quota is set to the sum of charged_bytes of its user's documents.
--     limit_bytes is 104857600 (100 MiB) where there was no limit.
--   * Every NULL is replaced by a value that cannot cause the loss of an owner's file: where the
--     old data does not show what became of a file, its document counts as uploaded.
BEGIN;

CREATE TABLE IF NOT EXISTS applied_migrations (
    version    bigint PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- Blocks uploads and deletions under the single-user rules until this migration commits.
LOCK TABLE users, quotas, documents, topics, document_topics IN ACCESS EXCLUSIVE MODE;

---------------- roles

-- Roles belong to the whole server, so a migration of another database may create them
-- concurrently. duplicate_object and unique_violation are therefore ignored.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['api', 'worker'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN NULL;
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'role % does not exist and % may not create roles', name, current_user
                        USING ERRCODE = 'insufficient_privilege',
                              HINT = format('As a superuser: CREATE ROLE %I; or ALTER ROLE %I CREATEROLE; then migrate again.', name, current_user);
            END;
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = name AND (rolsuper OR rolbypassrls)) THEN
            RAISE EXCEPTION 'role % is a superuser or bypasses row-level security', name
                USING HINT = format('As a superuser: ALTER ROLE %I NOSUPERUSER NOBYPASSRLS; then migrate again.', name);
        END IF;
    END LOOP;
END
$$;

-- Returns the key of a document's object: documents/<first 10 hex digits of the id>/<id>.
CREATE FUNCTION document_object_key(id uuid) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT 'documents/' || substr(replace(id::text, '-', ''), 1, 10) || '/' || id::text $$;

---------------- preconditions

-- Fails, without changing anything, if there are conflicts that only a person can resolve: email
-- addresses that differ only in case, or documents that share one object. The error lists at most
-- five.
DO $$
DECLARE
    emails text;
    keys   text;
BEGIN
    SELECT string_agg(e, ', ') INTO emails
    FROM (SELECT string_agg(email, ' and ') AS e FROM users GROUP BY lower(email) HAVING count(*) > 1 LIMIT 5) AS clashes;
    IF emails IS NOT NULL THEN
        RAISE EXCEPTION 'users whose email addresses differ only in case: %', emails
            USING HINT = 'Rename or remove all but one of each, then migrate again. Nothing was changed.';
    END IF;

    SELECT string_agg(k, ', ') INTO keys
    FROM (SELECT object_key || ' of documents ' || string_agg(id::text, ' and ') AS k
          FROM documents WHERE user_id IS NOT NULL AND object_key <> ''
          GROUP BY object_key HAVING count(*) > 1 LIMIT 5) AS clashes;
    IF keys IS NOT NULL THEN
        RAISE EXCEPTION 'documents that share one object: %', keys
            USING HINT = 'Give each document an object of its own, then migrate again. Nothing was changed.';
    END IF;
END
$$;

---------------- object deletions

-- The outbox of objects that are marked for deletion. A row whose deleted_at is set is a tombstone:
-- it is kept so that an object that is stored under the key again is deleted again. Migrating down
-- keeps the table unless it is empty, so that no deletion is lost.
CREATE TABLE IF NOT EXISTS object_deletions (
    object_key      text PRIMARY KEY CHECK (object_key <> ''),
    document_id     uuid,
    user_id         uuid,
    requested_at    timestamptz NOT NULL DEFAULT now(),
    attempts        integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    last_error      text NOT NULL DEFAULT '',
    deleted_at      timestamptz
);
CREATE INDEX IF NOT EXISTS object_deletions_due ON object_deletions (next_attempt_at) WHERE deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS object_deletions_ended ON object_deletions (deleted_at) WHERE deleted_at IS NOT NULL;

-- Marks the objects of documents without an owner for deletion, except an object that an owner's
-- document refers to as well. The key is the row's object_key. If the row has none, the key is the
-- one under which such objects were stored, null-user/<id>.
INSERT INTO object_deletions (object_key, document_id)
SELECT DISTINCT ON (key) key, id
FROM (SELECT coalesce(nullif(object_key, ''), 'null-user/' || id::text) AS key, id
      FROM documents WHERE user_id IS NULL) AS unowned
WHERE NOT EXISTS (SELECT FROM documents AS owned
                  WHERE owned.user_id IS NOT NULL
                    AND coalesce(nullif(owned.object_key, ''), document_object_key(owned.id)) = unowned.key)
ORDER BY key, id
ON CONFLICT (object_key) DO UPDATE
    SET requested_at = now(), attempts = 0, next_attempt_at = now(), last_error = '', deleted_at = NULL;

DELETE FROM document_topics;
DELETE FROM topics;
DELETE FROM documents WHERE user_id IS NULL;

---------------- users

UPDATE users SET created_at = now() WHERE created_at IS NULL;
ALTER TABLE users
    ALTER COLUMN created_at SET NOT NULL,
    ALTER COLUMN created_at SET DEFAULT now(),
    ADD COLUMN role text NOT NULL DEFAULT 'user' CONSTRAINT users_role CHECK (role IN ('user', 'admin')),
    ADD COLUMN ai_provider text NOT NULL DEFAULT '',
    ADD COLUMN ai_model text NOT NULL DEFAULT '';
CREATE UNIQUE INDEX users_email_ignoring_case ON users (lower(email));

---------------- documents

ALTER TABLE documents
    ADD COLUMN reason          text NOT NULL DEFAULT '',
    ADD COLUMN etag            text NOT NULL DEFAULT '',
    ADD COLUMN charged_bytes   bigint NOT NULL DEFAULT 0,
    ADD COLUMN version         bigint NOT NULL DEFAULT 1,
    ADD COLUMN announcement    bigint NOT NULL DEFAULT 0,
    ADD COLUMN unannounced_at  timestamptz,
    ADD COLUMN topics_locked   boolean NOT NULL DEFAULT false,
    ADD COLUMN provider        text NOT NULL DEFAULT '',
    ADD COLUMN model           text NOT NULL DEFAULT '',
    ADD COLUMN idempotency_key text,
    ADD COLUMN url_issued_at   timestamptz,
    ADD COLUMN changed_at      timestamptz,
    ADD COLUMN uploaded_at     timestamptz,
    ADD COLUMN classified_at   timestamptz,
    ADD COLUMN gone_at         timestamptz;

-- A pending document is rejected and its object deleted if the size of the object differs from the
-- declared size. Therefore a document becomes pending only if it has a size and the old status was
-- pending or expired. If the status or the size is unknown, and no deletion was requested, the
-- document becomes uploaded. If the object of an uploaded document differs, the document is
-- quarantined, which keeps the object.
UPDATE documents SET
    status = CASE
        WHEN status IN ('deleting', 'deleted') THEN 'deleting'
        WHEN size IS NULL OR size < 0 THEN 'uploaded'
        WHEN status IN ('uploaded', 'classified', 'failed', 'quarantined') THEN status
        -- An expired document becomes pending, so that it is confirmed if its object arrived late.
        -- It expires again only after a stat of the object.
        WHEN status IN ('pending', 'expired') THEN 'pending'
        -- The object of a rejected document was marked for deletion. If there is no record of that,
        -- the document is quarantined, which keeps the object for an administrator.
        WHEN status = 'rejected' AND EXISTS (SELECT FROM object_deletions AS d WHERE d.object_key = documents.object_key) THEN 'rejected'
        WHEN status = 'rejected' THEN 'quarantined'
        ELSE 'uploaded'
    END,
    object_key   = coalesce(nullif(object_key, ''), document_object_key(id)),
    size         = greatest(coalesce(size, 0), 0),
    filename     = coalesce(nullif(filename, ''), nullif(regexp_replace(coalesce(object_key, ''), '^.*/', ''), ''), id::text),
    content_type = coalesce(nullif(content_type, ''), 'application/octet-stream'),
    created_at   = coalesce(created_at, now());

UPDATE documents SET
    reason = CASE status
        WHEN 'failed' THEN 'ai_unavailable'
        WHEN 'rejected' THEN 'size_mismatch'
        WHEN 'quarantined' THEN 'content_changed'
        ELSE ''
    END,
    charged_bytes = CASE WHEN status IN ('uploaded', 'classified', 'failed', 'deleting') THEN size ELSE 0 END,
    -- An uploaded document has yet to be classified, and no event about it has been published.
    unannounced_at = CASE WHEN status = 'uploaded' THEN now() END,
    url_issued_at  = created_at,
    changed_at     = now(),
    uploaded_at    = CASE WHEN status IN ('uploaded', 'classified', 'failed', 'quarantined') THEN created_at END,
    classified_at  = CASE WHEN status = 'classified' THEN created_at END;

-- Records the deletions that owners had already requested, so that they are carried out.
INSERT INTO object_deletions (object_key, document_id, user_id)
SELECT object_key, id, user_id FROM documents WHERE status = 'deleting'
ON CONFLICT (object_key) DO UPDATE
    SET document_id = EXCLUDED.document_id, user_id = EXCLUDED.user_id,
        requested_at = now(), attempts = 0, next_attempt_at = now(), last_error = '', deleted_at = NULL;

ALTER TABLE documents
    ALTER COLUMN user_id SET NOT NULL,
    ALTER COLUMN object_key SET NOT NULL,
    ALTER COLUMN filename SET NOT NULL,
    ALTER COLUMN content_type SET NOT NULL,
    ALTER COLUMN size SET NOT NULL,
    ALTER COLUMN status SET NOT NULL,
    ALTER COLUMN created_at SET NOT NULL,
    ALTER COLUMN url_issued_at SET NOT NULL,
    ALTER COLUMN changed_at SET NOT NULL,
    -- The listings scan the index of documents_listing backwards, and document_topics has a foreign
    -- key to its columns.
    ADD CONSTRAINT documents_listing UNIQUE (user_id, id),
    ADD CONSTRAINT documents_object_key CHECK (object_key <> ''),
    ADD CONSTRAINT documents_size CHECK (size >= 0),
    ADD CONSTRAINT documents_version CHECK (version >= 1 AND announcement >= 0),
    ADD CONSTRAINT documents_reason CHECK (CASE status
        WHEN 'pending'     THEN reason = ''
        WHEN 'uploaded'    THEN reason = ''
        WHEN 'classified'  THEN reason = ''
        WHEN 'failed'      THEN reason IN ('encrypted', 'no_text', 'broken', 'unsupported', 'ai_unavailable')
        WHEN 'rejected'    THEN reason IN ('quota_exceeded', 'size_mismatch')
        WHEN 'expired'     THEN reason = ''
        WHEN 'quarantined' THEN reason = 'content_changed'
        WHEN 'deleting'    THEN reason = ''
        ELSE false END),
    ADD CONSTRAINT documents_charge CHECK (CASE
        WHEN status IN ('uploaded', 'classified', 'failed') THEN charged_bytes = size
        WHEN status = 'deleting' AND gone_at IS NULL THEN charged_bytes IN (0, size)
        ELSE charged_bytes = 0 END),
    ADD CONSTRAINT documents_gone CHECK (gone_at IS NULL OR status = 'deleting');

CREATE UNIQUE INDEX documents_object ON documents (object_key);
CREATE INDEX documents_pending_of_user ON documents (user_id) WHERE status = 'pending';
CREATE INDEX documents_pending ON documents (id) INCLUDE (url_issued_at) WHERE status = 'pending';
CREATE INDEX documents_unannounced ON documents (unannounced_at) WHERE unannounced_at IS NOT NULL;
CREATE INDEX documents_uploaded ON documents (id) WHERE status = 'uploaded';
CREATE INDEX documents_ended ON documents (changed_at) WHERE status IN ('rejected', 'expired');
CREATE UNIQUE INDEX documents_idempotency ON documents (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

---------------- quotas

INSERT INTO quotas (user_id, limit_bytes, used_bytes)
SELECT id, 104857600, 0 FROM users
ON CONFLICT (user_id) DO NOTHING;
UPDATE quotas SET
    limit_bytes = greatest(coalesce(limit_bytes, 104857600), 0),
    used_bytes  = (SELECT coalesce(sum(charged_bytes), 0) FROM documents WHERE documents.user_id = quotas.user_id);
ALTER TABLE quotas
    ALTER COLUMN limit_bytes SET NOT NULL,
    ALTER COLUMN used_bytes SET NOT NULL,
    ALTER COLUMN used_bytes SET DEFAULT 0,
    ADD CONSTRAINT quotas_limit CHECK (limit_bytes >= 0),
    ADD CONSTRAINT quotas_used CHECK (used_bytes >= 0);

---------------- topics

ALTER TABLE topics
    ADD COLUMN user_id     uuid REFERENCES users (id) ON DELETE CASCADE,
    ADD COLUMN description text NOT NULL DEFAULT '' CONSTRAINT topics_description CHECK (char_length(description) <= 500),
    ADD COLUMN keywords    text[] NOT NULL DEFAULT '{}' CONSTRAINT topics_keywords CHECK (cardinality(keywords) <= 50),
    ADD COLUMN suggested   boolean NOT NULL DEFAULT false,
    ADD COLUMN created_at  timestamptz NOT NULL DEFAULT now(),
    ALTER COLUMN name SET NOT NULL,
    ADD CONSTRAINT topics_name CHECK (char_length(name) BETWEEN 1 AND 40);
COMMENT ON COLUMN topics.user_id IS 'NULL: a system topic, which every user sees';
CREATE UNIQUE INDEX topics_name_in_namespace ON topics (user_id, lower(name)) NULLS NOT DISTINCT;

ALTER TABLE document_topics
    DROP CONSTRAINT IF EXISTS document_topics_document_id_fkey,
    DROP CONSTRAINT IF EXISTS document_topics_topic_id_fkey,
    ADD COLUMN user_id    uuid NOT NULL,
    ADD COLUMN confidence smallint NOT NULL CONSTRAINT document_topics_confidence CHECK (confidence BETWEEN 0 AND 100),
    ADD CONSTRAINT document_topics_document FOREIGN KEY (user_id, document_id) REFERENCES documents (user_id, id) ON DELETE CASCADE,
    ADD CONSTRAINT document_topics_topic FOREIGN KEY (topic_id) REFERENCES topics (id) ON DELETE CASCADE;
CREATE INDEX document_topics_by_topic ON document_topics (topic_id, document_id DESC);

---------------- dead letters, replays, notifications

CREATE TABLE dead_letters (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream   text NOT NULL,
    sequence bigint NOT NULL,
    consumer text NOT NULL,
    subject  text NOT NULL,
    headers  jsonb NOT NULL DEFAULT '{}',
    data     bytea NOT NULL,
    reason   text NOT NULL,
    tries    integer NOT NULL,
    first_at timestamptz NOT NULL,
    dead_at  timestamptz NOT NULL DEFAULT now(),
    -- A stream that is deleted and recreated numbers its messages from 1 again. first_at tells the
    -- messages of the two streams apart.
    UNIQUE (stream, sequence, consumer, first_at)
);

CREATE TABLE replays (
    name        text PRIMARY KEY CHECK (name <> ''),
    who         text NOT NULL,
    why         text NOT NULL,
    selection   jsonb NOT NULL,
    target      text NOT NULL,
    status      text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'paused', 'canceled', 'done')),
    matched     bigint NOT NULL DEFAULT 0 CHECK (matched >= 0),
    published   bigint NOT NULL DEFAULT 0 CHECK (published >= 0),
    applied     bigint NOT NULL DEFAULT 0 CHECK (applied >= 0),
    unchanged   bigint NOT NULL DEFAULT 0 CHECK (unchanged >= 0),
    failed      bigint NOT NULL DEFAULT 0 CHECK (failed >= 0),
    position    bigint NOT NULL DEFAULT 0 CHECK (position >= 0),
    created_at  timestamptz NOT NULL DEFAULT now(),
    started_at  timestamptz,
    ended_at    timestamptz
);
COMMENT ON COLUMN replays.position IS 'the last stream sequence that was published; where a replay resumes';

-- Notifies the channel object_deletions, so that deletions are carried out as soon as they are
-- committed.
CREATE FUNCTION notify_object_deletions() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
    AS $$ BEGIN PERFORM pg_notify('object_deletions', ''); RETURN NULL; END $$;
CREATE TRIGGER object_deletions_notify AFTER INSERT ON object_deletions
    FOR EACH STATEMENT EXECUTE FUNCTION notify_object_deletions();

---------------- current user

-- Returns the user that the transaction is bound to, or NULL. Once intray.user_id has been set
-- locally in a session, it reads as '' after that transaction, so '' also means no user.
CREATE FUNCTION current_user_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('intray.user_id', true), '')::uuid $$;

-- Binds the transaction to the user and returns the user's role. If the user does not exist, it
-- binds the transaction to no user and returns NULL.
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

CREATE FUNCTION current_user_is_admin() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$ SELECT EXISTS (SELECT FROM users WHERE id = current_user_id() AND role = 'admin') $$;

-- Returns the account with the email address, ignoring case. It is the only way for the role api to
-- read a password hash, and it requires the whole address.
CREATE FUNCTION login_account(email text)
    RETURNS TABLE (id uuid, password_hash text, role text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT u.id, coalesce(u.password_hash, ''), u.role FROM users AS u
    WHERE lower(u.email) = lower(login_account.email)
$$;

CREATE FUNCTION require_admin() RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    IF NOT current_user_is_admin() THEN
        RAISE EXCEPTION 'an administrator is needed' USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$$;

-- Returns up to max_rows users in the order of their ids: those after the given id, or the first
-- ones if it is NULL. Only an administrator may call it.
CREATE FUNCTION admin_users(after uuid, max_rows integer)
    RETURNS TABLE (id uuid, email text, role text, ai_provider text, ai_model text, limit_bytes bigint, used_bytes bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM require_admin();
    RETURN QUERY
        SELECT u.id, u.email, u.role, u.ai_provider, u.ai_model, q.limit_bytes, q.used_bytes
        FROM users AS u JOIN quotas AS q ON q.user_id = u.id
        WHERE admin_users.after IS NULL OR u.id > admin_users.after
        ORDER BY u.id LIMIT max_rows;
END
$$;

-- Sets the attributes of a user for which the new value is not NULL, and returns the user. Only an
-- administrator may call it. It returns no row if the user does not exist.
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

---------------- privileges

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC;
REVOKE ALL ON FUNCTION begin_user(uuid), current_user_is_admin(), login_account(text), require_admin(),
    admin_users(uuid, integer), admin_change_user(uuid, bigint, text, text), notify_object_deletions(),
    current_user_id(), document_object_key(uuid) FROM PUBLIC;

GRANT USAGE ON SCHEMA public TO api, worker;
GRANT EXECUTE ON FUNCTION current_user_id(), document_object_key(uuid) TO api, worker;
GRANT EXECUTE ON FUNCTION begin_user(uuid), current_user_is_admin(), login_account(text),
    admin_users(uuid, integer), admin_change_user(uuid, bigint, text, text) TO api;

GRANT SELECT (id, email, role, ai_provider, ai_model, created_at) ON users TO api;
GRANT SELECT, UPDATE (used_bytes) ON quotas TO api, worker;
GRANT SELECT, INSERT,
    UPDATE (size, status, reason, etag, charged_bytes, version, announcement, unannounced_at, topics_locked, provider, model,
            url_issued_at, changed_at, uploaded_at, classified_at, gone_at)
    ON documents TO api;
GRANT SELECT, INSERT, DELETE, UPDATE (name, description, keywords, suggested) ON topics TO api;
GRANT SELECT, INSERT, DELETE ON document_topics TO api, worker;
GRANT SELECT, INSERT, UPDATE (document_id, user_id, requested_at, attempts, next_attempt_at, last_error, deleted_at)
    ON object_deletions TO api;

GRANT SELECT (id, ai_provider, ai_model) ON users TO worker;
GRANT SELECT, DELETE,
    UPDATE (size, status, reason, etag, charged_bytes, version, announcement, unannounced_at, topics_locked, provider, model,
            url_issued_at, changed_at, uploaded_at, classified_at, gone_at)
    ON documents TO worker;
GRANT SELECT, INSERT ON topics TO worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON object_deletions, dead_letters, replays TO worker;
GRANT SELECT ON applied_migrations TO api, worker;

---------------- row-level security

-- FORCE applies row-level security also to the owner of the tables. The policy owner gives that
-- role access to every row.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['users', 'quotas', 'documents', 'topics', 'document_topics', 'object_deletions'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY owner ON %I TO CURRENT_USER USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY worker ON %I TO worker USING (true) WITH CHECK (true)', name);
    END LOOP;
END
$$;

-- (SELECT current_user_id()) is evaluated once per statement; without SELECT it would be evaluated
-- for each row.
CREATE POLICY api ON users FOR SELECT TO api USING (id = (SELECT current_user_id()));
CREATE POLICY api ON quotas TO api USING (user_id = (SELECT current_user_id()));

CREATE POLICY api_read ON documents FOR SELECT TO api USING (user_id = (SELECT current_user_id()));
CREATE POLICY api_write ON documents FOR UPDATE TO api USING (user_id = (SELECT current_user_id()));
CREATE POLICY api_insert ON documents FOR INSERT TO api
    WITH CHECK (user_id = (SELECT current_user_id()) AND object_key = document_object_key(id));

CREATE POLICY api_read ON topics FOR SELECT TO api USING (user_id = (SELECT current_user_id()) OR (user_id IS NULL AND (SELECT current_user_id()) IS NOT NULL));
CREATE POLICY api_insert ON topics FOR INSERT TO api
    WITH CHECK (user_id = (SELECT current_user_id()) OR (user_id IS NULL AND (SELECT current_user_is_admin())));
CREATE POLICY api_write ON topics FOR UPDATE TO api
    USING (user_id = (SELECT current_user_id()) OR (user_id IS NULL AND (SELECT current_user_is_admin())));
CREATE POLICY api_delete ON topics FOR DELETE TO api
    USING (user_id = (SELECT current_user_id()) OR (user_id IS NULL AND (SELECT current_user_is_admin())));

CREATE POLICY api ON document_topics TO api USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()) AND EXISTS (SELECT FROM topics AS t WHERE t.id = topic_id));

-- A user can mark only the objects of their own documents for deletion.
CREATE POLICY api ON object_deletions TO api USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()) AND EXISTS (
        SELECT FROM documents AS d WHERE d.id = document_id AND d.object_key = object_deletions.object_key));

INSERT INTO applied_migrations (version) VALUES (1), (2) ON CONFLICT DO NOTHING;

COMMIT;
