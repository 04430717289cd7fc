-- Restores the single-user schema and keeps the current documents, topics and users. What migrating
-- up deleted (documents without an owner, and the old topics) is not restored. Dead letters and
-- replays are dropped. Object deletions that have not been carried out stay recorded in
-- object_deletions, which the next migration up adopts. The roles api and worker are kept, because
-- other databases of the server may use them, but they lose the privileges that migrating up
-- granted.
BEGIN;

LOCK TABLE users, quotas, documents, topics, document_topics, object_deletions IN ACCESS EXCLUSIVE MODE;

DO $$
BEGIN
    RAISE NOTICE 'the single-user schema is back; documents without an owner and topics that the migration up deleted do not come back, and dead letters and replays are dropped';
    IF EXISTS (SELECT FROM object_deletions WHERE deleted_at IS NULL) THEN
        RAISE NOTICE '% object deletions are not carried out yet; they stay in the table object_deletions for the next migration up',
            (SELECT count(*) FROM object_deletions WHERE deleted_at IS NULL);
    END IF;
END
$$;

-- Drops every policy, because PostgreSQL refuses to drop a column that a policy refers to.
DO $$
DECLARE
    p record;
BEGIN
    FOR p IN SELECT policyname, tablename FROM pg_policies WHERE schemaname = current_schema() LOOP
        EXECUTE format('DROP POLICY %I ON %I', p.policyname, p.tablename);
    END LOOP;
END
$$;
ALTER TABLE users NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
ALTER TABLE quotas NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
ALTER TABLE documents NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
ALTER TABLE topics NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
ALTER TABLE document_topics NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
ALTER TABLE object_deletions NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM api, worker;
REVOKE ALL ON SCHEMA public FROM api, worker;

DROP TRIGGER object_deletions_notify ON object_deletions;
DROP TABLE dead_letters, replays;
DROP FUNCTION admin_change_user(uuid, bigint, text, text), admin_users(uuid, integer), require_admin(), login_account(text),
    current_user_is_admin(), begin_user(uuid), current_user_id(), document_object_key(uuid), notify_object_deletions();

-- The objects of these documents are gone. Their rows were kept only until the deletion was
-- published.
DELETE FROM documents WHERE gone_at IS NOT NULL;

ALTER TABLE document_topics
    DROP CONSTRAINT document_topics_document,
    DROP CONSTRAINT document_topics_topic,
    DROP COLUMN user_id,
    DROP COLUMN confidence,
    ADD CONSTRAINT document_topics_document_id_fkey FOREIGN KEY (document_id) REFERENCES documents (id) ON DELETE CASCADE,
    ADD CONSTRAINT document_topics_topic_id_fkey FOREIGN KEY (topic_id) REFERENCES topics (id) ON DELETE CASCADE;
DROP INDEX document_topics_by_topic;

DROP INDEX topics_name_in_namespace;
ALTER TABLE topics
    DROP CONSTRAINT topics_name,
    ALTER COLUMN name DROP NOT NULL,
    DROP COLUMN user_id,
    DROP COLUMN description,
    DROP COLUMN keywords,
    DROP COLUMN suggested,
    DROP COLUMN created_at;

ALTER TABLE quotas
    DROP CONSTRAINT quotas_limit,
    DROP CONSTRAINT quotas_used,
    ALTER COLUMN limit_bytes DROP NOT NULL,
    ALTER COLUMN used_bytes DROP NOT NULL,
    ALTER COLUMN used_bytes DROP DEFAULT;

DROP INDEX documents_object, documents_pending_of_user, documents_pending, documents_unannounced, documents_uploaded, documents_ended, documents_idempotency;
ALTER TABLE documents
    DROP CONSTRAINT documents_listing,
    DROP CONSTRAINT documents_object_key,
    DROP CONSTRAINT documents_size,
    DROP CONSTRAINT documents_version,
    DROP CONSTRAINT documents_reason,
    DROP CONSTRAINT documents_charge,
    DROP CONSTRAINT documents_gone,
    ALTER COLUMN user_id DROP NOT NULL,
    ALTER COLUMN object_key DROP NOT NULL,
    ALTER COLUMN filename DROP NOT NULL,
    ALTER COLUMN content_type DROP NOT NULL,
    ALTER COLUMN size DROP NOT NULL,
    ALTER COLUMN status DROP NOT NULL,
    ALTER COLUMN created_at DROP NOT NULL,
    DROP COLUMN reason, DROP COLUMN etag, DROP COLUMN charged_bytes, DROP COLUMN version, DROP COLUMN announcement,
    DROP COLUMN unannounced_at, DROP COLUMN topics_locked, DROP COLUMN provider, DROP COLUMN model, DROP COLUMN idempotency_key,
    DROP COLUMN url_issued_at, DROP COLUMN changed_at, DROP COLUMN uploaded_at, DROP COLUMN classified_at, DROP COLUMN gone_at;

DROP INDEX users_email_ignoring_case;
ALTER TABLE users
    ALTER COLUMN created_at DROP NOT NULL,
    DROP COLUMN role, DROP COLUMN ai_provider, DROP COLUMN ai_model;

-- Drops object_deletions only if it is empty. Otherwise it contains deletions to carry out, or
-- tombstones.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM object_deletions) THEN
        DROP TABLE object_deletions;
    END IF;
END
$$;

DELETE FROM applied_migrations WHERE version = 2;

COMMIT;
