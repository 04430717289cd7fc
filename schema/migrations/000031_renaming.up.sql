-- Lets the owner of a document change its filename.
BEGIN;

GRANT UPDATE (filename, requested_filename) ON documents TO api, worker;

INSERT INTO applied_migrations (version) VALUES (31) ON CONFLICT DO NOTHING;

COMMIT;
