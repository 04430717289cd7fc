-- The position of a new document is inserted for each row. A trigger for each statement collects
-- the new rows in a table first, which costs more, because create_documents inserts each document
-- with a statement of its own.

BEGIN;

DROP TRIGGER documents_inserted ON documents;
DROP FUNCTION documents_inserted();

CREATE FUNCTION document_inserted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    INSERT INTO document_positions (document_id, user_id, filename_key, size)
        VALUES (NEW.id, NEW.user_id, NEW.filename_key, NEW.size);
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION document_inserted() FROM PUBLIC;

CREATE TRIGGER document_inserted AFTER INSERT ON documents FOR EACH ROW
    EXECUTE FUNCTION document_inserted();

INSERT INTO applied_migrations (version) VALUES (36) ON CONFLICT DO NOTHING;

COMMIT;
