BEGIN;

DROP TRIGGER document_moved ON documents;
DROP TRIGGER documents_inserted ON documents;
DROP FUNCTION document_moved(), documents_inserted();
DROP TABLE document_positions;
DROP INDEX documents_without_topics;
DROP TRIGGER document_topics_inserted ON document_topics;
DROP TRIGGER document_topics_deleted ON document_topics;
DROP FUNCTION document_topics_inserted(), document_topics_deleted();
ALTER TABLE documents DROP COLUMN filename_key, DROP COLUMN has_topics;
DROP FUNCTION case_fold(text);

DELETE FROM applied_migrations WHERE version = 28;

COMMIT;
