BEGIN;

DROP TABLE write_checks;
DELETE FROM applied_migrations WHERE version = 21;

COMMIT;
