-- Stores who may do the work that only one process does at a time, when reconciliations began and
-- ended, and when the event of a document was last published.
BEGIN;

-- The processes compare nothing with their own clocks: the database's clock decides when a lease
-- expires. A new holder changes the token. The token is unique, so changing it waits for every
-- transaction that has locked the row FOR KEY SHARE, and extending the lease does not.
CREATE TABLE leases (
    name        text PRIMARY KEY,
    token       uuid NOT NULL UNIQUE,
    holder      text NOT NULL,
    acquired_at timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
COMMENT ON COLUMN leases.token IS 'identifies the acquisition; only transactions of its holder know it';
COMMENT ON COLUMN leases.holder IS 'the host and the process id of the holder, for operators';

-- The role api does not use this table and gets no privileges on it.
GRANT SELECT, INSERT, UPDATE, DELETE ON leases TO worker;
ALTER TABLE leases ENABLE ROW LEVEL SECURITY;
ALTER TABLE leases FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON leases TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON leases TO worker USING (true) WITH CHECK (true);

ALTER TABLE reconciliation
    ALTER COLUMN finished_at DROP NOT NULL,
    ALTER COLUMN differences SET DEFAULT '{}',
    ALTER COLUMN remaining SET DEFAULT 0,
    ADD COLUMN created_at   timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN attempted_at timestamptz;
COMMENT ON COLUMN reconciliation.finished_at IS 'NULL: none has finished';
COMMENT ON COLUMN reconciliation.attempted_at IS 'when the sweeper last began a reconciliation, finished or not';
INSERT INTO reconciliation DEFAULT VALUES ON CONFLICT DO NOTHING;

ALTER TABLE documents ADD COLUMN published_at timestamptz;
COMMENT ON COLUMN documents.published_at IS 'when the event of the current version was last stored in the stream; NULL: before this column existed, or never';
GRANT UPDATE (published_at) ON documents TO api, worker;

CREATE INDEX dead_letters_by_message ON dead_letters ((headers -> 'Nats-Msg-Id' ->> 0));

INSERT INTO applied_migrations (version) VALUES (20) ON CONFLICT DO NOTHING;

COMMIT;
