-- Records which messages a replay selected and the outcome of each, as bits in blocks of 1024
-- positions. The position of a message is its sequence in the stream or, for a replay that
-- generates its events from the objects in the bucket, its number among these events (replay_made).
BEGIN;

ALTER TABLE replays
    DROP CONSTRAINT IF EXISTS replays_status_check,
    ADD CONSTRAINT replays_status CHECK (status IN ('planning', 'running', 'paused', 'canceled', 'done')),
    ADD COLUMN stream         text NOT NULL DEFAULT '',
    ADD COLUMN stream_created timestamptz,
    ADD COLUMN rate           double precision NOT NULL DEFAULT 0 CHECK (rate >= 0),
    ADD COLUMN last_at        timestamptz;
COMMENT ON COLUMN replays.stream IS 'where the events are read; empty: they are made, and lie in replay_made';
COMMENT ON COLUMN replays.stream_created IS 'a stream that was made anew counts from 1 again: its sequences are other events';
COMMENT ON COLUMN replays.applied IS 'this and the other counts are set at the end; until then replay_blocks has them';
CREATE INDEX replays_active ON replays (target) WHERE status IN ('running', 'paused');
CREATE INDEX replays_newest ON replays (created_at);

CREATE TABLE replay_blocks (
    replay     text NOT NULL REFERENCES replays (name) ON DELETE CASCADE,
    block      bigint NOT NULL,
    selected   bit(1024) NOT NULL,
    applied    bit(1024) NOT NULL DEFAULT repeat('0', 1024)::bit(1024),
    unchanged  bit(1024) NOT NULL DEFAULT repeat('0', 1024)::bit(1024),
    failed     bit(1024) NOT NULL DEFAULT repeat('0', 1024)::bit(1024),
    decided_at timestamptz,
    PRIMARY KEY (replay, block)
);

CREATE TABLE replay_made (
    replay     text NOT NULL REFERENCES replays (name) ON DELETE CASCADE,
    position   bigint NOT NULL,
    object_key text NOT NULL,
    PRIMARY KEY (replay, position)
);

-- Consumers only read replay_blocks and record outcomes in it, so the role worker gets no other
-- privileges on the tables of replays.
REVOKE ALL ON replays FROM worker;
GRANT SELECT, UPDATE (applied, unchanged, failed, decided_at) ON replay_blocks TO worker;

INSERT INTO applied_migrations (version) VALUES (7) ON CONFLICT DO NOTHING;

COMMIT;
