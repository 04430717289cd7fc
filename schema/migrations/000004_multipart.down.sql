-- Uploads in parts end: what arrived of them stays in storage until it drops what
-- is incomplete by itself, which MinIO does after 24 hours.
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
