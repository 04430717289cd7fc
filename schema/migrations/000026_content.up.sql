-- Stores what is known about the content of documents: a digest, by which duplicates are found, the
-- media type of every document that was read, and the evidence for the topics.
BEGIN;

ALTER TABLE documents ADD COLUMN sha256 bytea;
COMMENT ON COLUMN documents.sha256 IS 'the SHA-256 digest of the content, either declared and verified or computed; NULL: unknown';
COMMENT ON COLUMN documents.detected_type IS 'the media type detected from the content; NULL: the content was not read yet, or before version 26 the same as content_type';
CREATE INDEX documents_by_sha256 ON documents (user_id, sha256, id)
    WHERE sha256 IS NOT NULL AND status IN ('uploaded', 'classified', 'failed');
GRANT UPDATE (sha256, detected_type) ON documents TO api;
GRANT UPDATE (sha256) ON documents TO worker;

-- Returns those of the documents, which must be the current user's, whose last attempt to be
-- confirmed or classified failed or was postponed, and that will be attempted again.
CREATE FUNCTION retrying_documents(ids uuid[]) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    SET enable_seqscan = off
    AS $$
BEGIN
    RETURN QUERY
        SELECT d.id FROM unnest(ids) AS n (id)
        CROSS JOIN LATERAL (
            SELECT x.id, x.changed_at FROM documents AS x
            WHERE x.id = n.id AND x.user_id = current_user_id()
                AND x.status IN ('pending', 'uploaded') OFFSET 0) AS d
        CROSS JOIN LATERAL (
            SELECT a.attempt, a.next_at, a.reason FROM document_attempts AS a
            WHERE a.document_id = d.id AND a.at >= d.changed_at
            ORDER BY a.at DESC LIMIT 1) AS last
        WHERE last.next_at IS NOT NULL AND last.reason <> 'classification is in progress'
            AND (last.attempt > 0 OR last.next_at > now());
END
$$;

-- Returns the current user's oldest counted document with the digest that was created before the
-- given document, or NULL if there is none.
CREATE FUNCTION original_document(duplicate uuid, digest bytea) RETURNS uuid
    LANGUAGE plpgsql STABLE
    SET enable_seqscan = off
    AS $$
BEGIN
    RETURN (SELECT oldest.id FROM (
        SELECT d.id FROM documents AS d
        WHERE d.user_id = current_user_id() AND d.sha256 = digest
            AND d.status IN ('uploaded', 'classified', 'failed')
        ORDER BY d.id LIMIT 1) AS oldest
        WHERE oldest.id < duplicate);
END
$$;

DROP FUNCTION document_view(uuid, uuid);
CREATE FUNCTION document_view(viewer uuid, document_id uuid, OUT document documents,
    OUT topics jsonb, OUT duplicate_of uuid, OUT retrying boolean)
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
    IF document.sha256 IS NOT NULL AND document.status IN ('uploaded', 'classified', 'failed') THEN
        duplicate_of := original_document(document.id, document.sha256);
    END IF;
    retrying := document.status IN ('pending', 'uploaded')
        AND EXISTS (SELECT FROM retrying_documents(ARRAY[document.id]));
END
$$;

-- The evidence for a document's topics, as the classifier stored it with its answer.
CREATE TABLE document_explanations (
    document_id uuid PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
    user_id     uuid NOT NULL,
    explanation json NOT NULL,
    CONSTRAINT document_explanations_size CHECK (octet_length(explanation::text) <= 1024)
);
ALTER TABLE document_explanations ENABLE ROW LEVEL SECURITY;
ALTER TABLE document_explanations FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON document_explanations TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON document_explanations TO worker USING (true) WITH CHECK (true);
CREATE POLICY api ON document_explanations TO api
    USING (user_id = (SELECT current_user_id()));
GRANT SELECT, INSERT, UPDATE (explanation), DELETE ON document_explanations TO worker;
GRANT SELECT, DELETE ON document_explanations TO api;

REVOKE ALL ON FUNCTION retrying_documents(uuid[]), original_document(uuid, bytea),
    document_view(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION retrying_documents(uuid[]), original_document(uuid, bytea),
    document_view(uuid, uuid) TO api;

INSERT INTO applied_migrations (version) VALUES (26) ON CONFLICT DO NOTHING;

COMMIT;
