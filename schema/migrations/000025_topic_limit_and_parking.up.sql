-- Limits the number of topics of each user, and of system topics, and records parked messages.
--
-- The classifier compares each document with all topics of its owner, so without a limit one user's
-- topics could take all of its time. Topics that exceed the limit already are kept and can be
-- changed.
BEGIN;

-- Waits until no other transaction creates topics of the owner, or system topics if owner is NULL.
-- The lock is held until the end of the transaction.
CREATE FUNCTION lock_topics(owner uuid) RETURNS void
    LANGUAGE sql
    AS $$
SELECT pg_advisory_xact_lock(hashtext('topics'), hashtext(coalesce(owner::text, '')))
$$;

CREATE FUNCTION check_topic_limit() RETURNS trigger
    LANGUAGE plpgsql SET enable_seqscan = off
    AS $$
DECLARE
    max_topics CONSTANT integer := 500;
    reached boolean;
BEGIN
    PERFORM lock_topics(NEW.user_id);
    IF NEW.user_id IS NULL THEN
        SELECT count(*) = max_topics INTO reached
            FROM (SELECT FROM topics AS t WHERE t.user_id IS NULL LIMIT max_topics) AS existing;
    ELSE
        SELECT count(*) = max_topics INTO reached
            FROM (SELECT FROM topics AS t WHERE t.user_id = NEW.user_id LIMIT max_topics) AS existing;
    END IF;
    IF reached THEN
        RAISE EXCEPTION 'there are already % topics', max_topics
            USING ERRCODE = 'check_violation', CONSTRAINT = 'topics_limit';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER topics_limit BEFORE INSERT ON topics
    FOR EACH ROW EXECUTE FUNCTION check_topic_limit();

REVOKE ALL ON FUNCTION lock_topics(uuid), check_topic_limit() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lock_topics(uuid) TO api, worker;

-- A postponed attempt is parked if its message was acknowledged. The sweeper publishes the event of
-- the document again at next_at.
ALTER TABLE document_attempts ADD COLUMN parked boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN document_attempts.parked IS 'the message was acknowledged; the sweeper publishes the event again at next_at';
GRANT UPDATE (parked) ON document_attempts TO worker;

INSERT INTO applied_migrations (version) VALUES (25) ON CONFLICT DO NOTHING;

COMMIT;
