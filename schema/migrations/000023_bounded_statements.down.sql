BEGIN;

DROP FUNCTION remove_topic_from_documents(uuid, integer);

CREATE OR REPLACE FUNCTION admin_users(after uuid, max_rows integer)
    RETURNS TABLE (id uuid, email text, role text, ai_provider text, ai_model text,
        limit_bytes bigint, used_bytes bigint)
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

ALTER TABLE replays DROP COLUMN events_deleted;
DROP INDEX replay_blocks_by_block, replays_rated, dead_letters_by_message_id,
    document_attempts_failed, object_deletions_failing, object_deletions_requested,
    users_administrators, documents_single_user_keys;
DROP INDEX multipart_uploads_aborting;
CREATE INDEX multipart_uploads_aborting ON multipart_uploads (next_attempt_at)
    WHERE aborting_at IS NOT NULL;
DROP INDEX object_deletions_due;
CREATE INDEX object_deletions_due ON object_deletions (next_attempt_at) WHERE deleted_at IS NULL;
DROP INDEX documents_unpublished;
CREATE INDEX documents_unpublished ON documents (unpublished_at) WHERE unpublished_at IS NOT NULL;
DROP INDEX documents_ended;
CREATE INDEX documents_ended ON documents (changed_at) WHERE status IN ('rejected', 'expired');

DELETE FROM applied_migrations WHERE version = 23;

COMMIT;
