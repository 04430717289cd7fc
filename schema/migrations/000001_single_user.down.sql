-- Drops the single-user schema. If migration 2 was reverted while object_deletions had rows, that
-- table is kept, so that no object deletion is lost.
BEGIN;

DROP TABLE document_topics, topics, documents, quotas, users, applied_migrations;

COMMIT;
