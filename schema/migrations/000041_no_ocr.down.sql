BEGIN;

-- No row gets the reason no_ocr after the update.
LOCK TABLE documents IN SHARE ROW EXCLUSIVE MODE;

DO $$
DECLARE
    pictures bigint;
BEGIN
    UPDATE documents SET reason = 'no_text' WHERE reason = 'no_ocr';
    GET DIAGNOSTICS pictures = ROW_COUNT;
    IF pictures > 0 THEN
        RAISE NOTICE '% documents now have the reason no_text instead of no_ocr', pictures;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION document_is_consistent(status text, reason text, size bigint,
        charged_bytes bigint, gone_at timestamptz, version bigint, announcement bigint,
        object_key text)
    RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
BEGIN
    RETURN object_key <> '' AND size >= 0 AND version >= 1 AND announcement >= 0
        AND (gone_at IS NULL OR status = 'deleting')
        AND CASE status
            WHEN 'pending'     THEN reason = ''
            WHEN 'uploaded'    THEN reason = ''
            WHEN 'classified'  THEN reason = ''
            WHEN 'failed'      THEN reason IN ('encrypted', 'no_text', 'broken', 'unsupported', 'ai_unavailable')
            WHEN 'rejected'    THEN reason IN ('quota_exceeded', 'size_mismatch')
            WHEN 'expired'     THEN reason = ''
            WHEN 'quarantined' THEN reason = 'content_changed'
            WHEN 'deleting'    THEN reason = ''
            ELSE false END
        AND CASE
            WHEN status IN ('uploaded', 'classified', 'failed') THEN charged_bytes = size
            WHEN status = 'deleting' AND gone_at IS NULL THEN charged_bytes IN (0, size)
            ELSE charged_bytes = 0 END;
END
$$;

DELETE FROM applied_migrations WHERE version = 41;

COMMIT;
