BEGIN;

DO $$
DECLARE
    explanations bigint := (SELECT count(*) FROM document_explanations);
    digests bigint := (SELECT count(*) FROM documents WHERE sha256 IS NOT NULL);
BEGIN
    IF explanations > 0 OR digests > 0 THEN
        RAISE NOTICE '% explanations and the digests of % documents do not come back, except for documents that are classified again', explanations, digests;
    END IF;
END
$$;

DROP TABLE document_explanations;
DROP FUNCTION document_view(uuid, uuid);
DROP FUNCTION original_document(uuid, bytea), retrying_documents(uuid[]);
CREATE FUNCTION document_view(viewer uuid, document_id uuid, OUT document documents,
        OUT topics jsonb)
    LANGUAGE plpgsql SET enable_seqscan = off
    AS $$
DECLARE
    bound text := set_config('intray.user_id', viewer::text, true);
BEGIN
    SELECT d.* INTO document FROM documents AS d
        WHERE d.id = document_view.document_id AND d.user_id = viewer AND d.gone_at IS NULL;
    IF NOT FOUND THEN
        PERFORM require_user(viewer);
        document := NULL;
        RETURN;
    END IF;
    SELECT jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name,
            'scope', CASE WHEN t.user_id IS NULL THEN 'system' ELSE 'user' END,
            'confidence', dt.confidence, 'suggested', t.suggested) ORDER BY lower(t.name), t.id)
        INTO topics
        FROM document_topics AS dt JOIN topics AS t ON t.id = dt.topic_id
        WHERE dt.document_id = document_view.document_id;
END
$$;
REVOKE ALL ON FUNCTION document_view(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION document_view(uuid, uuid) TO api;

REVOKE UPDATE (detected_type) ON documents FROM api;
COMMENT ON COLUMN documents.detected_type IS 'the media type detected from the content; NULL: none, or the same as content_type';
UPDATE documents SET detected_type = NULL WHERE detected_type = content_type;
ALTER TABLE documents DROP COLUMN sha256;

DELETE FROM applied_migrations WHERE version = 26;

COMMIT;
