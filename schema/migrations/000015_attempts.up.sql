-- Records the failed and postponed attempts of consumers to handle a message about a document, and
-- when the next attempt is due, for `intray events show`. No event reports a failed attempt until
-- the consumer gives up on the message.
BEGIN;

CREATE TABLE document_tries (
    document_id uuid NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    stream      text NOT NULL,
    consumer    text NOT NULL,
    at          timestamptz NOT NULL,
    try         integer NOT NULL CHECK (try >= 0),
    reason      text NOT NULL,
    next_at     timestamptz
);
COMMENT ON COLUMN document_tries.try IS '0: nothing was tried, its turn had not come; the last such time only';
COMMENT ON COLUMN document_tries.next_at IS 'when it is tried again; NULL: it is not';
CREATE INDEX document_tries_of ON document_tries (document_id, at);
CREATE INDEX document_tries_by_time ON document_tries (at);
CREATE UNIQUE INDEX document_tries_postponed ON document_tries (document_id, stream, consumer) WHERE try = 0;

-- The role api does not use this table and gets no privileges on it.
GRANT SELECT, INSERT, DELETE, UPDATE (at, reason, next_at) ON document_tries TO worker;
ALTER TABLE document_tries ENABLE ROW LEVEL SECURITY;
ALTER TABLE document_tries FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON document_tries TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON document_tries TO worker USING (true) WITH CHECK (true);

INSERT INTO applied_migrations (version) VALUES (15) ON CONFLICT DO NOTHING;

COMMIT;
