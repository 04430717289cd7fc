BEGIN;

DROP INDEX documents_by_size, documents_by_filename, documents_without_topics;
DROP TRIGGER document_topics_inserted ON document_topics;
DROP TRIGGER document_topics_deleted ON document_topics;
DROP FUNCTION document_topics_inserted(), document_topics_deleted();
ALTER TABLE documents DROP COLUMN filename_key, DROP COLUMN has_topics;
DROP FUNCTION case_fold(text);

DELETE FROM applied_migrations WHERE version = 28;

COMMIT;
