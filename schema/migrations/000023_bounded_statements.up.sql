-- Lets every statement read the same amount from a large table as from a small one: indexes that
-- return rows in the order in which they are needed, so that a batch need not sort all that is due,
-- and functions that work in batches.
BEGIN;

---------------- batches in the order of an index

-- The order of a batch has to be unique, so that the next one can begin after its last row.
DROP INDEX documents_ended;
CREATE INDEX documents_ended ON documents (changed_at, id) WHERE status IN ('rejected', 'expired');
DROP INDEX documents_unpublished;
CREATE INDEX documents_unpublished ON documents (unpublished_at, id) WHERE unpublished_at IS NOT NULL;
DROP INDEX object_deletions_due;
CREATE INDEX object_deletions_due ON object_deletions (next_attempt_at, object_key)
    WHERE deleted_at IS NULL;
DROP INDEX multipart_uploads_aborting;
CREATE INDEX multipart_uploads_aborting ON multipart_uploads (next_attempt_at, upload_id)
    WHERE aborting_at IS NOT NULL;

-- Documents of the single-user schema, whose object keys do not have the order of their ids. In a
-- database that began with a later schema this index is empty.
CREATE INDEX documents_single_user_keys ON documents (object_key COLLATE "C")
    WHERE object_key <> document_object_key(id);

---------------- the few among many

CREATE INDEX users_administrators ON users (id) WHERE role = 'admin';
CREATE INDEX object_deletions_requested ON object_deletions (requested_at) WHERE deleted_at IS NULL;
CREATE INDEX object_deletions_failing ON object_deletions (object_key)
    WHERE deleted_at IS NULL AND attempts > 0;
CREATE INDEX document_attempts_failed ON document_attempts (at) WHERE attempt > 0;
CREATE INDEX dead_letters_by_message_id ON dead_letters ((headers -> 'Nats-Msg-Id' ->> 0));
CREATE INDEX replays_rated ON replays (target, created_at)
    WHERE status = 'done' AND rate = 0 AND matched >= 100;
CREATE INDEX replay_blocks_by_block ON replay_blocks (block);

-- The events of a replay are deleted in batches some time after it has ended.
ALTER TABLE replays ADD COLUMN events_deleted boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN replays.events_deleted
    IS 'the rows in replay_blocks and replay_generated_events were deleted';
CREATE INDEX replays_with_events ON replays (ended_at) WHERE ended_at IS NOT NULL AND NOT events_deleted;

---------------- functions

-- Returns up to max_rows users in the order of their ids, starting after the id, or with the first
-- user if it is NULL. Only an administrator may call it.
CREATE OR REPLACE FUNCTION admin_users(after uuid, max_rows integer)
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

-- Removes a topic that the current user may delete from up to max_rows documents, and returns the
-- number of documents. It runs with the owner's privileges, because a system topic is removed from
-- the documents of all users.
CREATE FUNCTION remove_topic_from_documents(topic uuid, max_rows integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    removed integer;
BEGIN
    IF NOT EXISTS (SELECT FROM topics AS t WHERE t.id = topic AND (t.user_id = current_user_id()
            OR t.user_id IS NULL AND current_user_is_admin())) THEN
        RETURN 0;
    END IF;
    DELETE FROM document_topics WHERE topic_id = topic AND ctid = ANY(ARRAY(
        SELECT dt.ctid FROM document_topics AS dt WHERE dt.topic_id = topic
        ORDER BY dt.document_id DESC LIMIT max_rows));
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;
REVOKE ALL ON FUNCTION remove_topic_from_documents(uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION remove_topic_from_documents(uuid, integer) TO api;

INSERT INTO applied_migrations (version) VALUES (23) ON CONFLICT DO NOTHING;

COMMIT;
