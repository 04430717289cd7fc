BEGIN;

DROP TABLE document_tries;
DELETE FROM applied_migrations WHERE version = 15;

COMMIT;
