BEGIN;

DROP TABLE reconciliation;
DELETE FROM applied_migrations WHERE version = 16;

COMMIT;
