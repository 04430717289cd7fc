-- Adds multipart uploads. A row is kept until object storage has completed or aborted the upload.
-- The row of the document may be deleted before that, so document_id is not a foreign key.
BEGIN;

CREATE TABLE multipart_uploads (
    upload_id       text PRIMARY KEY CHECK (upload_id <> ''),
    document_id     uuid NOT NULL,
    user_id         uuid NOT NULL,
    object_key      text NOT NULL CHECK (object_key <> ''),
    size            bigint NOT NULL CHECK (size > 0),
    part_size       bigint NOT NULL CHECK (part_size > 0),
    created_at      timestamptz NOT NULL DEFAULT now(),
    renewed_at      timestamptz NOT NULL DEFAULT now(),
    aborting_at     timestamptz,
    attempts        integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    last_error      text NOT NULL DEFAULT ''
);
COMMENT ON COLUMN multipart_uploads.aborting_at IS 'when it was given up: storage is asked to drop its parts until it has';
-- A document has at most one upload that is not being aborted.
CREATE UNIQUE INDEX multipart_uploads_document ON multipart_uploads (document_id) WHERE aborting_at IS NULL;
CREATE INDEX multipart_uploads_aborting ON multipart_uploads (next_attempt_at) WHERE aborting_at IS NOT NULL;

GRANT SELECT, INSERT, DELETE, UPDATE (renewed_at, aborting_at) ON multipart_uploads TO api;
GRANT SELECT, DELETE, UPDATE (aborting_at, attempts, next_attempt_at, last_error) ON multipart_uploads TO worker;

ALTER TABLE multipart_uploads ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON multipart_uploads TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON multipart_uploads TO worker USING (true) WITH CHECK (true);
-- A user can add an upload only for one of their own documents, with that document's object key.
CREATE POLICY api ON multipart_uploads TO api USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()) AND EXISTS (
        SELECT FROM documents AS d WHERE d.id = document_id AND d.object_key = multipart_uploads.object_key));

INSERT INTO applied_migrations (version) VALUES (4);

COMMIT;
