-- Counts documents by the entries of indexes, whatever the statistics of the tables are.
BEGIN;

-- Returns the numbers of documents of the owner by status, by topic (the status is then empty), and
-- without topics (both are empty), all of one moment. None is greater than max_count.
--
-- Most documents have the same status. Without enable_seqscan = off, the planner expects that as
-- many have any other one, and reads the whole table to find the few.
CREATE FUNCTION document_counts(owner uuid, statuses text[], max_count bigint)
    RETURNS TABLE (status text, topic uuid, documents bigint)
    LANGUAGE plpgsql STABLE SET enable_seqscan = off
    AS $$
BEGIN
    -- The topics are found by looking up the first document of each.
    RETURN QUERY
        WITH RECURSIVE used (topic) AS (
            (SELECT t.topic_id FROM document_topics AS t WHERE t.user_id = owner
                ORDER BY t.topic_id LIMIT 1)
            UNION ALL
            SELECT (SELECT t.topic_id FROM document_topics AS t
                WHERE t.user_id = owner AND t.topic_id > used.topic ORDER BY t.topic_id LIMIT 1)
            FROM used WHERE used.topic IS NOT NULL
        )
        SELECT s.status, NULL::uuid, n.documents
            FROM unnest(statuses) AS s (status) CROSS JOIN LATERAL (
                SELECT count(*) AS documents FROM (
                    SELECT FROM documents AS d WHERE d.user_id = owner AND d.status = s.status
                    LIMIT max_count) AS d) AS n
        UNION ALL
        SELECT '', used.topic, n.documents
            FROM used CROSS JOIN LATERAL (
                SELECT count(*) AS documents FROM (
                    SELECT FROM document_topics AS t
                    WHERE t.user_id = owner AND t.topic_id = used.topic LIMIT max_count) AS d) AS n
            WHERE used.topic IS NOT NULL
        UNION ALL
        SELECT '', NULL, count(*) FROM (
            SELECT FROM documents AS d
            WHERE d.user_id = owner AND NOT d.has_topics AND d.status <> 'deleting'
            LIMIT max_count) AS d;
END
$$;
REVOKE ALL ON FUNCTION document_counts(uuid, text[], bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION document_counts(uuid, text[], bigint) TO api;

INSERT INTO applied_migrations (version) VALUES (34) ON CONFLICT DO NOTHING;

COMMIT;
