-- Creates the single-user schema. IF NOT EXISTS lets this migration adopt a database that was
-- created before migrations were introduced.
BEGIN;

CREATE TABLE IF NOT EXISTS applied_migrations (
    version    bigint PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS users (
    id            uuid PRIMARY KEY,
    email         text NOT NULL UNIQUE,
    password_hash text,
    created_at    timestamptz DEFAULT now()
);

CREATE TABLE IF NOT EXISTS quotas (
    user_id     uuid PRIMARY KEY REFERENCES users (id),
    limit_bytes bigint,
    used_bytes  bigint
);

-- A document whose user_id is NULL has no owner. Its object is stored under the prefix null-user/.
CREATE TABLE IF NOT EXISTS documents (
    id           uuid PRIMARY KEY,
    user_id      uuid REFERENCES users (id),
    object_key   text,
    filename     text,
    content_type text,
    size         bigint,
    status       text,
    created_at   timestamptz
);

CREATE TABLE IF NOT EXISTS topics (
    id   uuid PRIMARY KEY,
    name text
);

CREATE TABLE IF NOT EXISTS document_topics (
    document_id uuid REFERENCES documents (id) ON DELETE CASCADE,
    topic_id    uuid REFERENCES topics (id) ON DELETE CASCADE,
    PRIMARY KEY (document_id, topic_id)
);

INSERT INTO applied_migrations (version) VALUES (1) ON CONFLICT DO NOTHING;

COMMIT;
