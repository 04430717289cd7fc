-- Records the detected media type of a document whose content does not have the type that its
-- uploader declared (content_type).
BEGIN;

ALTER TABLE documents ADD COLUMN found_type text;
COMMENT ON COLUMN documents.found_type IS 'the media type that the content shows, where content_type says something else';
GRANT UPDATE (found_type) ON documents TO worker;

INSERT INTO applied_migrations (version) VALUES (14) ON CONFLICT DO NOTHING;

COMMIT;
