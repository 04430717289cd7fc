-- Counts the calls to AI providers for each user's documents, to enforce a daily limit. A user has
-- one row, for the last day (in UTC) with a call.

BEGIN;

CREATE TABLE ai_calls (
    user_id uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    day     date NOT NULL,
    calls   integer NOT NULL CONSTRAINT ai_calls_count CHECK (calls > 0)
);
COMMENT ON COLUMN ai_calls.day IS 'in UTC';

GRANT SELECT, INSERT, UPDATE (day, calls) ON ai_calls TO worker;

ALTER TABLE ai_calls ENABLE ROW LEVEL SECURITY;
ALTER TABLE ai_calls FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON ai_calls TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON ai_calls TO worker USING (true) WITH CHECK (true);

INSERT INTO applied_migrations (version) VALUES (6) ON CONFLICT DO NOTHING;

COMMIT;
