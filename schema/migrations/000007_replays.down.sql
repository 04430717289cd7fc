-- Deletes the record of which events each replay selected. Replays that have not ended are
-- therefore canceled; they keep the counts that they had reached.
BEGIN;

DO $$
BEGIN
    IF EXISTS (SELECT FROM replays WHERE status IN ('planning', 'running', 'paused')) THEN
        RAISE NOTICE '% replays are canceled; what they had chosen does not come back',
            (SELECT count(*) FROM replays WHERE status IN ('planning', 'running', 'paused'));
    END IF;
END
$$;

UPDATE replays AS r SET applied = s.applied, unchanged = s.unchanged, failed = s.failed
FROM (SELECT replay, sum(bit_count(applied)) AS applied, sum(bit_count(unchanged)) AS unchanged, sum(bit_count(failed)) AS failed
      FROM replay_blocks GROUP BY replay) AS s
WHERE r.name = s.replay;
DROP TABLE replay_made, replay_blocks;
UPDATE replays SET status = 'canceled', ended_at = now() WHERE status IN ('planning', 'running', 'paused');
DROP INDEX replays_active, replays_newest;
ALTER TABLE replays
    DROP CONSTRAINT replays_status,
    ADD CONSTRAINT replays_status_check CHECK (status IN ('running', 'paused', 'canceled', 'done')),
    DROP COLUMN stream, DROP COLUMN stream_created, DROP COLUMN rate, DROP COLUMN last_at;
COMMENT ON COLUMN replays.applied IS NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON replays TO worker;

DELETE FROM applied_migrations WHERE version = 7;

COMMIT;
