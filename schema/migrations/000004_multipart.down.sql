-- Ends all multipart uploads. The parts that were uploaded stay in object storage until it removes
-- incomplete uploads itself, which MinIO does 24 hours after they were started.
BEGIN;

DO $$
DECLARE
    uploads bigint;
BEGIN
    SELECT count(*) INTO uploads FROM multipart_uploads;
    IF uploads > 0 THEN
        RAISE NOTICE '% uploads in parts are forgotten; MinIO drops their parts 24 hours after they began', uploads;
    END IF;
END
$$;

DROP TABLE multipart_uploads;

DELETE FROM applied_migrations WHERE version = 4;

COMMIT;
