-- What the last reconciliation of bucket and database found and left to a person: the same for every replica,
-- whoever ran it.
BEGIN;

CREATE TABLE reconciliation (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    at       timestamptz NOT NULL,
    found    jsonb NOT NULL,
    remains  bigint NOT NULL CHECK (remains >= 0)
);
COMMENT ON COLUMN reconciliation.found IS 'how many differences of each kind';

-- The role api has no business here.
GRANT SELECT, INSERT, UPDATE ON reconciliation TO worker;
ALTER TABLE reconciliation ENABLE ROW LEVEL SECURITY;
ALTER TABLE reconciliation FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON reconciliation TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON reconciliation TO worker USING (true) WITH CHECK (true);

INSERT INTO applied_migrations (version) VALUES (16) ON CONFLICT DO NOTHING;

COMMIT;
