-- Stores what the provider builtin learns from: numbers for each document that it has classified
-- (document_examples), and which topics a user set manually (document_topics.by_hand).
--
-- No totals are stored, so nothing has to be subtracted. An example lasts as long as its document,
-- and counts for a topic as long as the user leaves the topic on the document. Deleting the
-- document or the user deletes the example; after a topic is deleted, the example no longer counts
-- for it.
BEGIN;

CREATE TABLE document_examples (
    document_id uuid PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
    user_id     uuid NOT NULL,
    example     bytea NOT NULL CONSTRAINT document_examples_size CHECK (octet_length(example) BETWEEN 1 AND 4096)
);
COMMENT ON COLUMN document_examples.example IS 'word vectors and hashes, added up: no text';

ALTER TABLE document_topics ADD COLUMN by_hand boolean NOT NULL DEFAULT false;
UPDATE document_topics AS t SET by_hand = true FROM documents AS d WHERE d.id = t.document_id AND d.topics_locked;
-- Used to find the newest examples for a user's topic.
CREATE INDEX document_topics_by_hand ON document_topics (user_id, topic_id, document_id DESC) WHERE by_hand;

CREATE FUNCTION document_topic_by_hand() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    NEW.by_hand := coalesce((SELECT d.topics_locked FROM documents AS d WHERE d.id = NEW.document_id), false);
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION document_topic_by_hand() FROM PUBLIC;
CREATE TRIGGER document_topics_by_hand BEFORE INSERT ON document_topics
    FOR EACH ROW EXECUTE FUNCTION document_topic_by_hand();

-- The role api does not use this table and gets no privileges on it.
GRANT SELECT, INSERT, UPDATE (example) ON document_examples TO worker;
ALTER TABLE document_examples ENABLE ROW LEVEL SECURITY;
ALTER TABLE document_examples FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON document_examples TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON document_examples TO worker USING (true) WITH CHECK (true);

INSERT INTO applied_migrations (version) VALUES (9) ON CONFLICT DO NOTHING;

COMMIT;
