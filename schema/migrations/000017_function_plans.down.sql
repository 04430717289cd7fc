BEGIN;

ALTER FUNCTION document_view(uuid, uuid) RESET enable_seqscan;
ALTER FUNCTION create_document(uuid, uuid, text, text, bigint, timestamptz, text, bigint) RESET enable_seqscan;
ALTER FUNCTION create_documents(uuid[], uuid[], text[], text[], bigint[], timestamptz[], bigint[]) RESET enable_seqscan;
ALTER FUNCTION document_topic_by_hand() RESET enable_seqscan;

DELETE FROM applied_migrations WHERE version = 17;

COMMIT;
