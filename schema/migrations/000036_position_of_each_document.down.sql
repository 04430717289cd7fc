BEGIN;

DROP TRIGGER document_inserted ON documents;
DROP FUNCTION document_inserted();

CREATE FUNCTION documents_inserted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    SET enable_seqscan = off
    AS $$
BEGIN
    INSERT INTO document_positions (document_id, user_id, filename_key, size)
        SELECT d.id, d.user_id, d.filename_key, d.size FROM inserted AS d;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION documents_inserted() FROM PUBLIC;

CREATE TRIGGER documents_inserted AFTER INSERT ON documents
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION documents_inserted();

DELETE FROM applied_migrations WHERE version = 36;

COMMIT;
