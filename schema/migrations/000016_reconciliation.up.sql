-- Stores what the last reconciliation of the bucket and the database found, and how many
-- differences an operator has to resolve. Every replica reads the same result, regardless of which
-- process ran the reconciliation.
BEGIN;

CREATE TABLE reconciliation (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    at       timestamptz NOT NULL,
    found    jsonb NOT NULL,
    remains  bigint NOT NULL CHECK (remains >= 0)
);
COMMENT ON COLUMN reconciliation.found IS 'how many differences of each kind';

-- The role api does not use this table and gets no privileges on it.
GRANT SELECT, INSERT, UPDATE ON reconciliation TO worker;
ALTER TABLE reconciliation ENABLE ROW LEVEL SECURITY;
ALTER TABLE reconciliation FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON reconciliation TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON reconciliation TO worker USING (true) WITH CHECK (true);

INSERT INTO applied_migrations (version) VALUES (16) ON CONFLICT DO NOTHING;

COMMIT;
