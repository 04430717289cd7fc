-- Leaves an empty database, except for object deletions that are still owed.
BEGIN;

DROP TABLE document_topics, topics, documents, quotas, users, applied_migrations;

COMMIT;
