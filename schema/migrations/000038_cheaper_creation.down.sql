BEGIN;

DROP TRIGGER document_removed ON documents;
DROP FUNCTION document_removed();

ALTER TABLE document_positions ADD CONSTRAINT document_positions_document_id_fkey
    FOREIGN KEY (document_id) REFERENCES documents ON DELETE CASCADE;

DO $$
DECLARE
    body text := (SELECT prosrc FROM pg_proc WHERE oid = 'case_fold_unicode(text)'::regprocedure);
    for_ascii text := substring(
        (SELECT prosrc FROM pg_proc WHERE oid = 'case_fold(text)'::regprocedure)
        FROM '    -- The collation "C" has case.*?END IF;\n');
BEGIN
    EXECUTE format('CREATE OR REPLACE FUNCTION case_fold(value text) RETURNS text
        LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS %L',
        replace(body, E'\nBEGIN\n', E'\nBEGIN\n' || for_ascii));
END
$$;
DROP FUNCTION case_fold_unicode(text);

DELETE FROM applied_migrations WHERE version = 38;

COMMIT;
