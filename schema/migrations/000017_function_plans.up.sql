-- Turns sequential scans off in functions whose plans a session caches. A plan that was cached
-- while a table had a page or two scans the whole table, and is kept until the next ANALYZE, a
-- minute or more after a burst has begun.
BEGIN;

ALTER FUNCTION document_view(uuid, uuid) SET enable_seqscan = off;
ALTER FUNCTION create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint) SET enable_seqscan = off;
ALTER FUNCTION create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[]) SET enable_seqscan = off;
ALTER FUNCTION document_topic_by_hand() SET enable_seqscan = off;

INSERT INTO applied_migrations (version) VALUES (17) ON CONFLICT DO NOTHING;

COMMIT;
