-- A session keeps the plans of these functions. A plan that was made while a table held a page or two
-- scans the whole table, and stays until the next ANALYZE, a minute or more after a burst has begun.
BEGIN;

ALTER FUNCTION document_view(uuid, uuid) SET enable_seqscan = off;
ALTER FUNCTION create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint) SET enable_seqscan = off;
ALTER FUNCTION create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[]) SET enable_seqscan = off;
ALTER FUNCTION document_topic_by_hand() SET enable_seqscan = off;

INSERT INTO applied_migrations (version) VALUES (17) ON CONFLICT DO NOTHING;

COMMIT;
