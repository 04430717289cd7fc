BEGIN;

DROP TABLE ai_calls;

DELETE FROM applied_migrations WHERE version = 6;

COMMIT;
