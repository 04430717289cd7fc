-- Restores the schema of version 18. Leases and the times of publications are lost.
BEGIN;

DROP INDEX dead_letters_by_message;
ALTER TABLE documents DROP COLUMN published_at;

COMMENT ON COLUMN reconciliation.finished_at IS NULL;
DELETE FROM reconciliation WHERE finished_at IS NULL;
ALTER TABLE reconciliation
    DROP COLUMN attempted_at,
    DROP COLUMN created_at,
    ALTER COLUMN remaining DROP DEFAULT,
    ALTER COLUMN differences DROP DEFAULT,
    ALTER COLUMN finished_at SET NOT NULL;

DROP TABLE leases;

DELETE FROM applied_migrations WHERE version = 20;

COMMIT;
