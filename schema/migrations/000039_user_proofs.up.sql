-- The role api binds to a user with a proof that only the API's process can make, and the role auth
-- alone reads password hashes and starts sessions. Before this migration, the role api could bind to
-- any user by naming the user, read every password hash and start a session for anyone, so row-level
-- security protected from forgotten conditions only, and not from SQL injection. The comments of the
-- migrations 2, 5 and 10 describe that state. docs/adr/0036-user-proofs.md says what the policies
-- protect from now, and what not.
--
-- API processes of earlier versions do not work with this schema.
BEGIN;

-- Roles belong to the whole server, so a migration of another database may create it concurrently.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'auth') THEN
        BEGIN
            CREATE ROLE auth NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'role auth does not exist and % may not create roles', current_user
                    USING ERRCODE = 'insufficient_privilege',
                          HINT = format('As a superuser: CREATE ROLE auth; or ALTER ROLE %I CREATEROLE; then migrate again.', current_user);
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'auth' AND (rolsuper OR rolbypassrls)) THEN
        RAISE EXCEPTION 'role auth is a superuser or bypasses row-level security'
            USING HINT = 'As a superuser: ALTER ROLE auth NOSUPERUSER NOBYPASSRLS; then migrate again.';
    END IF;
END
$$;
GRANT USAGE ON SCHEMA public TO auth;

---------------- proofs

-- The keys of proofs. The current one makes them, and the previous one is accepted, too.
CREATE TABLE proof_keys (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    current    bytea NOT NULL CHECK (octet_length(current) = 32),
    previous   bytea NOT NULL CHECK (octet_length(previous) = 32),
    rotated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE proof_keys IS 'the keys of the proofs with which the API binds to users';
COMMENT ON COLUMN proof_keys.singleton IS 'always true, so that the table holds at most one row';
ALTER TABLE proof_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE proof_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON proof_keys TO CURRENT_USER USING (true) WITH CHECK (true);
REVOKE ALL ON proof_keys FROM PUBLIC;

-- Returns 32 random bytes. Each UUID has 122 random bits from the server's generator of
-- cryptographic random numbers.
CREATE FUNCTION new_proof_key() RETURNS bytea
    LANGUAGE sql
    AS $$
    SELECT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
        || uuid_send(gen_random_uuid()))
$$;
INSERT INTO proof_keys (current, previous) VALUES (new_proof_key(), new_proof_key());

-- Replaces the current key. The former one is accepted until the next call, because transactions
-- that are running still need it. When a proof is refused, the API's processes read the new key and
-- repeat what they did, so nobody notices a call.
CREATE FUNCTION rotate_proof_key() RETURNS void
    LANGUAGE sql
    AS $$
    UPDATE proof_keys SET current = new_proof_key(), previous = current, rotated_at = now()
        WHERE singleton
$$;

-- Returns the key that makes proofs.
CREATE FUNCTION proof_key() RETURNS bytea
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$ SELECT k.current FROM proof_keys AS k WHERE k.singleton $$;

-- Reports whether mac proves that the API's process has authenticated the user: whether it is the
-- SHA-384 of a key, the user's id and the time at which the proof expires, in seconds since 1970.
-- Only who knows a key can make it: the id and the time have a fixed length, and SHA-384 does not
-- let anybody extend a hashed text. Functions that have a search_path of their own call this one.
CREATE FUNCTION is_proven(id uuid, expires bigint, mac bytea) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS $$
DECLARE
    current_key bytea;
    previous_key bytea;
BEGIN
    -- The condition permits an index scan, which a caller that disables sequential scans needs: at
    -- the cost of a disabled scan, PostgreSQL would compile the plan in each call.
    SELECT k.current, k.previous INTO current_key, previous_key
        FROM proof_keys AS k WHERE k.singleton;
    RETURN (to_timestamp(expires) > now()
        AND (mac = sha384(current_key || uuid_send(id) || int8send(expires))
            OR mac = sha384(previous_key || uuid_send(id) || int8send(expires)))) IS TRUE;
END
$$;

-- Returns the user that the transaction is bound to, or NULL. Any statement can change the setting
-- that holds the proof, so the proof is checked whenever a statement asks for the user. The policies
-- ask once in each statement for each of its tables. The setting consists of the user's id, the time
-- with 12 digits and the mac in hexadecimal. A statement fails if the setting is as long as that and
-- has another form.
CREATE OR REPLACE FUNCTION current_user_id() RETURNS uuid
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    proof CONSTANT text := current_setting('intray.proof', true);
BEGIN
    IF length(proof) = 144 AND is_proven(left(proof, 36)::uuid, substr(proof, 37, 12)::bigint,
            decode(substr(proof, 49), 'hex')) THEN
        RETURN left(proof, 36)::uuid;
    END IF;
    RETURN NULL;
END
$$;

-- Binds the transaction to the user and returns the user's role, or NULL if there is no such user.
-- It fails with SQLSTATE IN403 if mac does not prove the user.
DROP FUNCTION set_current_user(uuid);
CREATE FUNCTION set_current_user(id uuid, expires bigint, mac bytea) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    user_role text;
BEGIN
    IF NOT is_proven(id, expires, mac) THEN
        RAISE EXCEPTION 'the proof of the user is not valid' USING ERRCODE = 'IN403';
    END IF;
    SELECT u.role INTO user_role FROM users AS u WHERE u.id = set_current_user.id;
    PERFORM set_config('intray.proof', CASE WHEN user_role IS NULL THEN ''
        ELSE id::text || lpad(expires::text, 12, '0') || encode(mac, 'hex') END, true);
    RETURN user_role;
END
$$;

-- The subquery is evaluated once, not for each user.
CREATE OR REPLACE FUNCTION current_user_is_admin() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT EXISTS (SELECT FROM users AS u WHERE u.id = (SELECT current_user_id()) AND u.role = 'admin')
$$;

---------------- combined queries

-- document_view and create_documents run with the owner's privileges, so that they check a proof
-- only once instead of for each table of each of their statements. Therefore each of their
-- statements names the user.

DROP FUNCTION create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint),
    create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[]),
    create_documents(uuid[], uuid[], text[], text[], bigint[], bytea[], boolean[], text[], bigint,
        boolean),
    document_view(uuid, uuid), original_document(uuid, bytea), retrying_documents(uuid[]);

-- Returns the oldest document with the digest of the owner, if it is older than the duplicate.
CREATE FUNCTION original_document(owner uuid, duplicate uuid, digest bytea) RETURNS uuid
    LANGUAGE plpgsql STABLE SET enable_seqscan = off
    AS $$
BEGIN
    RETURN (SELECT oldest.id FROM (
        SELECT d.id FROM documents AS d
        WHERE d.user_id = owner AND d.sha256 = digest
            AND d.status IN ('uploaded', 'classified', 'failed')
        ORDER BY d.id LIMIT 1) AS oldest
        WHERE oldest.id < duplicate);
END
$$;

-- Returns those of the owner's documents that are being retried.
CREATE FUNCTION retrying_documents(owner uuid, ids uuid[]) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SET enable_seqscan = off
    AS $$
BEGIN
    RETURN QUERY
        SELECT d.id FROM unnest(ids) AS n (id)
        -- OFFSET 0 makes the planner look the document up by its id. With statistics from before a
        -- burst, it could read all the owner's documents with the statuses instead.
        CROSS JOIN LATERAL (
            SELECT x.id, x.user_id, x.status, x.changed_at FROM documents AS x
            WHERE x.id = n.id OFFSET 0) AS d
        CROSS JOIN LATERAL (
            SELECT a.attempt, a.next_at, a.reason FROM document_attempts AS a
            WHERE a.document_id = d.id AND a.at >= d.changed_at
            ORDER BY a.at DESC LIMIT 1) AS last
        WHERE d.user_id = owner AND d.status IN ('pending', 'uploaded')
            AND last.next_at IS NOT NULL AND last.reason <> 'classification is in progress'
            AND (last.attempt > 0 OR last.next_at > now());
END
$$;

-- Returns those of the current user's documents that are being retried.
CREATE FUNCTION retrying_documents(ids uuid[]) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$ BEGIN RETURN QUERY SELECT r FROM retrying_documents(current_user_id(), ids) AS r; END $$;

-- Returns a document of the viewer with its topics ordered by name, the viewer's oldest
-- document with the same content, and whether the document is being retried. The document is NULL
-- if there is no such document; topics is NULL if it has none. It fails with SQLSTATE IN403 if mac
-- does not prove the viewer.
CREATE FUNCTION document_view(viewer uuid, expires bigint, mac bytea, document_id uuid,
    OUT document documents, OUT topics jsonb, OUT duplicate_of uuid, OUT retrying boolean)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    SET enable_seqscan = off
    AS $$
BEGIN
    IF NOT is_proven(viewer, expires, mac) THEN
        RAISE EXCEPTION 'the proof of the user is not valid' USING ERRCODE = 'IN403';
    END IF;
    SELECT d.* INTO document FROM documents AS d
        WHERE d.id = document_view.document_id AND d.user_id = viewer AND d.gone_at IS NULL;
    IF NOT FOUND THEN
        PERFORM require_user(viewer);
        document := NULL;
        RETURN;
    END IF;
    IF document.has_topics THEN
        SELECT jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name,
                'scope', CASE WHEN t.user_id IS NULL THEN 'system' ELSE 'user' END,
                'confidence', dt.confidence, 'suggested', t.suggested) ORDER BY lower(t.name), t.id)
            INTO topics
            FROM document_topics AS dt JOIN topics AS t ON t.id = dt.topic_id
            WHERE dt.document_id = document_view.document_id
                AND dt.user_id = viewer AND (t.user_id = viewer OR t.user_id IS NULL);
    END IF;
    IF document.sha256 IS NOT NULL AND document.status IN ('uploaded', 'classified', 'failed') THEN
        duplicate_of := original_document(viewer, document.id, document.sha256);
    END IF;
    retrying := document.status IN ('pending', 'uploaded')
        AND EXISTS (SELECT FROM retrying_documents(viewer, ARRAY[document.id]));
END
$$;

-- Creates pending documents and returns one row for each, in order:
--
--   existing         the document that was created under the same idempotency key, or NULL
--   remaining_bytes  the rest of the quota, or NULL if the owner has no quota; for a multipart
--                    upload, without the bytes of the owner's unfinished ones
--   pending          max_pending if the owner has as many pending documents, otherwise 0
--
-- An empty digest or key means that there is none. If all_of_one is true, the documents are those
-- of one request. The rest of the quota is then without the documents before it that the request
-- creates or continues. An existing document that is expired is continued only if it fits, like a
-- new one; its first row reports whether it does. It fails with SQLSTATE IN403 if one of the macs
-- does not prove the owner.
CREATE FUNCTION create_documents(owners uuid[], expires bigint, macs bytea[], new_ids uuid[],
        new_filenames text[], new_types text[], new_sizes bigint[], digests bytea[],
        multiparts boolean[], keys text[], max_pending bigint, all_of_one boolean)
    RETURNS TABLE (existing uuid, remaining_bytes bigint, pending bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    SET enable_seqscan = off
    SET lock_timeout = '100ms'
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
        IF i = 1 OR owner IS DISTINCT FROM current_owner THEN
            IF NOT is_proven(owner, expires, macs[i]) THEN
                RAISE EXCEPTION 'the proof of the user is not valid' USING ERRCODE = 'IN403';
            END IF;
            current_owner := owner;
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
END
$$;

---------------- the role auth

-- The functions with which the role auth signs users in. Each of them can be called for any user:
-- the process checks passwords and tokens. They are all that the role can use.

DROP FUNCTION own_password_hash(), change_own_password(text, text, uuid);

-- Returns the password hash of a user, which is empty if the user has no password.
CREATE FUNCTION user_password_hash(target uuid) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$ SELECT coalesce(u.password_hash, '') FROM users AS u WHERE u.id = target $$;

-- Sets the password hash of a user, deletes the user's sessions other than kept_session, and
-- returns true. It returns false and changes nothing if the hash is no longer verified_hash.
CREATE FUNCTION change_password(target uuid, verified_hash text, new_hash text, kept_session uuid)
    RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
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

REVOKE ALL ON FUNCTION new_proof_key(), rotate_proof_key(), proof_key(),
    is_proven(uuid, bigint, bytea), set_current_user(uuid, bigint, bytea),
    original_document(uuid, uuid, bytea), retrying_documents(uuid, uuid[]),
    retrying_documents(uuid[]), document_view(uuid, bigint, bytea, uuid),
    create_documents(uuid[], bigint, bytea[], uuid[], text[], text[], bigint[], bytea[], boolean[],
        text[], bigint, boolean),
    user_password_hash(uuid), change_password(uuid, text, text, uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION account_by_email(text), identity_account(text, text, uuid, text, bigint),
    start_session(uuid, uuid, text, bytea, bytea, double precision),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision),
    end_session(bytea), require_user(uuid) FROM api;
GRANT EXECUTE ON FUNCTION set_current_user(uuid, bigint, bytea), original_document(uuid, uuid, bytea),
    retrying_documents(uuid[]), document_view(uuid, bigint, bytea, uuid),
    create_documents(uuid[], bigint, bytea[], uuid[], text[], text[], bigint[], bytea[], boolean[],
        text[], bigint, boolean) TO api;
GRANT EXECUTE ON FUNCTION proof_key(), account_by_email(text),
    identity_account(text, text, uuid, text, bigint),
    start_session(uuid, uuid, text, bytea, bytea, double precision),
    refresh_session(bytea, bytea, bytea, bytea, double precision, double precision),
    end_session(bytea), user_password_hash(uuid), change_password(uuid, text, text, uuid) TO auth;

INSERT INTO applied_migrations (version) VALUES (39) ON CONFLICT DO NOTHING;

COMMIT;
