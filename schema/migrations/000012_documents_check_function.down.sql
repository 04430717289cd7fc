BEGIN;

ALTER TABLE documents
    DROP CONSTRAINT documents_consistent,
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

DROP FUNCTION document_is_consistent(text, text, bigint, bigint, timestamptz, bigint, bigint, text);

DELETE FROM applied_migrations WHERE version = 12;

COMMIT;
