-- Adds a table into which programs insert a row that they roll back, to find out whether PostgreSQL
-- accepts writes: a standby, a read-only server and one whose disk is full answer queries too. The
-- row takes up a page of its own, which has to be allocated.
BEGIN;

CREATE TABLE write_checks (filler text NOT NULL);
ALTER TABLE write_checks ALTER COLUMN filler SET STORAGE PLAIN;
-- Each check leaves a page until the next vacuum.
ALTER TABLE write_checks SET (autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0);

GRANT INSERT ON write_checks TO api, worker;
ALTER TABLE write_checks ENABLE ROW LEVEL SECURITY;
ALTER TABLE write_checks FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON write_checks TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY write ON write_checks FOR INSERT TO api, worker WITH CHECK (true);

INSERT INTO applied_migrations (version) VALUES (21) ON CONFLICT DO NOTHING;

COMMIT;
