BEGIN;

ALTER TABLE documents DROP COLUMN found_type;

DELETE FROM applied_migrations WHERE version = 14;

COMMIT;
