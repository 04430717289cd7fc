BEGIN;

REVOKE UPDATE (filename, requested_filename) ON documents FROM api, worker;

DELETE FROM applied_migrations WHERE version = 31;

COMMIT;
