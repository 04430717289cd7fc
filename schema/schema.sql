-- The schema of the database after all migrations: each table with its
-- indexes, triggers, policies and privileges, then the functions.
--
-- This file is documentation. It is generated from a migrated database, and a test compares it. Do
-- not edit it. After a change in schema/migrations, update it:
--
--     go test ./infra/postgres -run TestSchemaFile -update
--
-- The comments in schema/migrations give the reasons. The roles are the owner (CURRENT_USER below),
-- api, auth and worker. The owner's own privileges are omitted.

---- Schema

GRANT USAGE ON SCHEMA public TO PUBLIC, api, auth, worker;

---- Tables

CREATE TABLE ai_calls (
    user_id uuid NOT NULL,
    day date NOT NULL,
    calls integer NOT NULL,
    CONSTRAINT ai_calls_pkey PRIMARY KEY (user_id),
    CONSTRAINT ai_calls_count CHECK (calls > 0),
    CONSTRAINT ai_calls_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);
COMMENT ON COLUMN ai_calls.day IS 'the UTC day of the last call';
COMMENT ON COLUMN ai_calls.calls IS 'the number of calls on that day';
ALTER TABLE ai_calls ENABLE ROW LEVEL SECURITY;
ALTER TABLE ai_calls FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON ai_calls TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON ai_calls TO worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (day, calls) ON ai_calls TO worker;

CREATE TABLE ai_providers (
    provider text NOT NULL,
    noted_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT ai_providers_pkey PRIMARY KEY (provider)
);
COMMENT ON TABLE ai_providers IS 'the AI providers that consumers have configured';
COMMENT ON COLUMN ai_providers.noted_at IS 'when a consumer last noted that it has the provider';
ALTER TABLE ai_providers ENABLE ROW LEVEL SECURITY;
ALTER TABLE ai_providers FORCE ROW LEVEL SECURITY;
CREATE POLICY api ON ai_providers FOR SELECT TO api USING (true);
CREATE POLICY owner ON ai_providers TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON ai_providers TO worker USING (true) WITH CHECK (true);
GRANT SELECT ON ai_providers TO api;
GRANT SELECT, INSERT, UPDATE (noted_at) ON ai_providers TO worker;

CREATE TABLE applied_migrations (
    version bigint NOT NULL,
    applied_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT applied_migrations_pkey PRIMARY KEY (version)
);
GRANT SELECT ON applied_migrations TO api, worker;

CREATE TABLE audit_events (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    at timestamp with time zone NOT NULL DEFAULT now(),
    kind text NOT NULL,
    actor_id uuid,
    actor text,
    user_id uuid,
    account text,
    document_id uuid,
    address inet,
    count bigint NOT NULL DEFAULT 1,
    details jsonb NOT NULL DEFAULT '{}'::jsonb,
    CONSTRAINT audit_events_pkey PRIMARY KEY (id),
    CONSTRAINT audit_events_account_check CHECK (char_length(account) <= 320),
    CONSTRAINT audit_events_actor_check CHECK (char_length(actor) <= 320),
    CONSTRAINT audit_events_count_check CHECK (count > 0),
    CONSTRAINT audit_events_details_check CHECK (jsonb_typeof(details) = 'object'::text AND octet_length(details::text) <= 4096),
    CONSTRAINT audit_events_kind_check CHECK (kind = ANY (ARRAY['signed_in'::text, 'sign_in_failed'::text, 'signed_out'::text, 'refresh_token_reused'::text, 'password_changed'::text, 'role_changed'::text, 'quota_changed'::text, 'ai_settings_changed'::text, 'user_added'::text, 'user_removed'::text, 'system_topic_added'::text, 'system_topic_changed'::text, 'system_topic_removed'::text, 'proof_key_rotated'::text, 'download_url_issued'::text, 'replay_started'::text, 'replay_paused'::text, 'replay_resumed'::text, 'replay_canceled'::text, 'replay_ended'::text, 'dead_letters_retried'::text, 'dead_letters_dropped'::text, 'repair_started'::text, 'repair_ended'::text, 'provisioned'::text]))
);
COMMENT ON TABLE audit_events IS 'what happened, for 90 days; there are no foreign keys, because it outlasts what it is about';
COMMENT ON COLUMN audit_events.at IS 'of sign_in_failed: the minute';
COMMENT ON COLUMN audit_events.actor_id IS 'the user who did it; NULL: an operator, a server or an unknown person';
COMMENT ON COLUMN audit_events.actor IS 'the email address of the user at that time, the name of an operator, or a role';
COMMENT ON COLUMN audit_events.user_id IS 'the user whom it is about';
COMMENT ON COLUMN audit_events.account IS 'the email address of that user at that time, or the one that somebody tried';
COMMENT ON COLUMN audit_events.address IS 'the address of the client';
COMMENT ON COLUMN audit_events.count IS 'how often it happened in the minute';
CREATE INDEX audit_events_by_account ON audit_events USING btree (case_fold(account), at, id) WHERE
    account IS NOT NULL;
CREATE INDEX audit_events_by_actor ON audit_events USING btree (actor_id, at, id) WHERE actor_id IS
    DISTINCT FROM user_id;
CREATE INDEX audit_events_by_kind ON audit_events USING btree (kind, at, id);
CREATE INDEX audit_events_by_user ON audit_events USING btree (user_id, at, id) WHERE user_id IS NOT
    NULL;
CREATE UNIQUE INDEX audit_events_failed ON audit_events USING btree (at, account, address) NULLS NOT
    DISTINCT WHERE kind = 'sign_in_failed'::text;
CREATE INDEX audit_events_newest ON audit_events USING btree (at, id);
ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_adds ON audit_events FOR INSERT TO CURRENT_USER WITH CHECK (true);
CREATE POLICY owner_counts ON audit_events FOR UPDATE TO CURRENT_USER USING (kind =
    'sign_in_failed'::text) WITH CHECK (kind = 'sign_in_failed'::text);
CREATE POLICY owner_prunes ON audit_events FOR DELETE TO CURRENT_USER USING (at < (now() - '90
    days'::interval));
CREATE POLICY owner_reads ON audit_events FOR SELECT TO CURRENT_USER USING (true);

CREATE TABLE dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY,
    stream text NOT NULL,
    sequence bigint NOT NULL,
    consumer text NOT NULL,
    subject text NOT NULL,
    headers jsonb NOT NULL DEFAULT '{}'::jsonb,
    data bytea NOT NULL,
    reason text NOT NULL,
    attempts integer NOT NULL,
    first_at timestamp with time zone NOT NULL,
    dead_at timestamp with time zone NOT NULL DEFAULT now(),
    document_ids uuid[] NOT NULL DEFAULT '{}'::uuid[],
    CONSTRAINT dead_letters_pkey PRIMARY KEY (id)
);
COMMENT ON COLUMN dead_letters.sequence IS 'in the stream; 0: the sweeper generated the message';
COMMENT ON COLUMN dead_letters.attempts IS 'how often the message was delivered to the consumer';
COMMENT ON COLUMN dead_letters.first_at IS 'when the message was stored in the stream';
COMMENT ON COLUMN dead_letters.dead_at IS 'when the message was dead-lettered';
COMMENT ON COLUMN dead_letters.document_ids IS 'the documents that the message is about';
CREATE INDEX dead_letters_by_document ON dead_letters USING gin (document_ids);
CREATE INDEX dead_letters_by_message ON dead_letters USING btree (((headers -> 'Nats-Msg-Id'::text)
    ->> 0));
CREATE INDEX dead_letters_by_message_id ON dead_letters USING btree (((headers ->
    'Nats-Msg-Id'::text) ->> 0));
CREATE UNIQUE INDEX dead_letters_generated ON dead_letters USING btree (consumer, document_ids)
    WHERE sequence = 0;
CREATE UNIQUE INDEX dead_letters_message ON dead_letters USING btree (stream, sequence, consumer,
    first_at) WHERE sequence > 0;
GRANT SELECT, INSERT, UPDATE, DELETE ON dead_letters TO worker;

CREATE TABLE document_attempts (
    document_id uuid NOT NULL,
    stream text NOT NULL,
    consumer text NOT NULL,
    at timestamp with time zone NOT NULL,
    attempt integer NOT NULL,
    reason text NOT NULL,
    next_at timestamp with time zone,
    parked boolean NOT NULL DEFAULT false,
    CONSTRAINT document_attempts_attempt_check CHECK (attempt >= 0),
    CONSTRAINT document_attempts_document_id_fkey FOREIGN KEY (document_id) REFERENCES documents(id) ON DELETE CASCADE
);
COMMENT ON COLUMN document_attempts.attempt IS 'counts from 1; 0: postponed before it began; only the last postponed attempt is kept';
COMMENT ON COLUMN document_attempts.next_at IS 'when the next attempt is due; NULL: there is none';
COMMENT ON COLUMN document_attempts.parked IS 'the message was acknowledged; the sweeper publishes the event again at next_at';
CREATE INDEX document_attempts_by_document ON document_attempts USING btree (document_id, at);
CREATE INDEX document_attempts_by_time ON document_attempts USING btree (at);
CREATE INDEX document_attempts_failed ON document_attempts USING btree (at) WHERE attempt > 0;
CREATE UNIQUE INDEX document_attempts_postponed ON document_attempts USING btree (document_id,
    stream, consumer) WHERE attempt = 0;
ALTER TABLE document_attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE document_attempts FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON document_attempts TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON document_attempts TO worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (at, reason, next_at, parked), DELETE ON document_attempts TO worker;

CREATE TABLE document_examples (
    document_id uuid NOT NULL,
    user_id uuid NOT NULL,
    example bytea NOT NULL,
    CONSTRAINT document_examples_pkey PRIMARY KEY (document_id),
    CONSTRAINT document_examples_size CHECK (octet_length(example) >= 1 AND octet_length(example) <= 4096),
    CONSTRAINT document_examples_document_id_fkey FOREIGN KEY (document_id) REFERENCES documents(id) ON DELETE CASCADE
);
COMMENT ON COLUMN document_examples.example IS 'the mean word vector and hashes of stems; contains no text';
ALTER TABLE document_examples ENABLE ROW LEVEL SECURITY;
ALTER TABLE document_examples FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON document_examples TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON document_examples TO worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (example) ON document_examples TO worker;

CREATE TABLE document_explanations (
    document_id uuid NOT NULL,
    user_id uuid NOT NULL,
    explanation json NOT NULL,
    CONSTRAINT document_explanations_pkey PRIMARY KEY (document_id),
    CONSTRAINT document_explanations_size CHECK (octet_length(explanation::text) <= 1024),
    CONSTRAINT document_explanations_document_id_fkey FOREIGN KEY (document_id) REFERENCES documents(id) ON DELETE CASCADE
);
ALTER TABLE document_explanations ENABLE ROW LEVEL SECURITY;
ALTER TABLE document_explanations FORCE ROW LEVEL SECURITY;
CREATE POLICY api ON document_explanations TO api USING (user_id = (( SELECT current_user_id() AS
    current_user_id)));
CREATE POLICY owner ON document_explanations TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON document_explanations TO worker USING (true) WITH CHECK (true);
GRANT SELECT, DELETE ON document_explanations TO api;
GRANT SELECT, INSERT, UPDATE (explanation), DELETE ON document_explanations TO worker;

CREATE TABLE document_positions (
    document_id uuid NOT NULL,
    user_id uuid NOT NULL,
    filename_key text COLLATE "C" NOT NULL,
    size bigint NOT NULL,
    CONSTRAINT document_positions_pkey PRIMARY KEY (document_id)
);
CREATE INDEX document_positions_by_filename ON document_positions USING btree (user_id,
    filename_key, document_id);
CREATE INDEX document_positions_by_size ON document_positions USING btree (user_id, size,
    document_id);
ALTER TABLE document_positions ENABLE ROW LEVEL SECURITY;
ALTER TABLE document_positions FORCE ROW LEVEL SECURITY;
CREATE POLICY api ON document_positions FOR SELECT TO api USING (user_id = (( SELECT
    current_user_id() AS current_user_id)));
CREATE POLICY owner ON document_positions TO CURRENT_USER USING (true) WITH CHECK (true);
GRANT SELECT ON document_positions TO api;

CREATE TABLE document_topics (
    document_id uuid NOT NULL,
    topic_id uuid NOT NULL,
    user_id uuid NOT NULL,
    confidence smallint NOT NULL,
    set_manually boolean NOT NULL DEFAULT false,
    CONSTRAINT document_topics_pkey PRIMARY KEY (document_id, topic_id),
    CONSTRAINT document_topics_confidence CHECK (confidence >= 0 AND confidence <= 100),
    CONSTRAINT document_topics_document FOREIGN KEY (user_id, document_id) REFERENCES documents(user_id, id) ON DELETE CASCADE,
    CONSTRAINT document_topics_topic FOREIGN KEY (topic_id) REFERENCES topics(id) ON DELETE CASCADE
);
COMMENT ON COLUMN document_topics.set_manually IS 'a user chose the topic; copied from documents.topics_locked when the row is inserted';
CREATE INDEX document_topics_by_topic ON document_topics USING btree (topic_id, document_id DESC);
CREATE INDEX document_topics_by_user ON document_topics USING btree (user_id, topic_id, document_id);
CREATE INDEX document_topics_set_manually ON document_topics USING btree (user_id, topic_id,
    document_id DESC) WHERE set_manually;
CREATE TRIGGER document_topics_deleted AFTER DELETE ON document_topics REFERENCING OLD TABLE AS
    deleted FOR EACH STATEMENT EXECUTE FUNCTION document_topics_deleted();
CREATE TRIGGER document_topics_inserted AFTER INSERT ON document_topics REFERENCING NEW TABLE AS
    inserted FOR EACH STATEMENT EXECUTE FUNCTION document_topics_inserted();
CREATE TRIGGER document_topics_set_manually BEFORE INSERT ON document_topics FOR EACH ROW EXECUTE
    FUNCTION document_topic_set_manually();
ALTER TABLE document_topics ENABLE ROW LEVEL SECURITY;
ALTER TABLE document_topics FORCE ROW LEVEL SECURITY;
CREATE POLICY api ON document_topics TO api USING (user_id = (( SELECT current_user_id() AS
    current_user_id))) WITH CHECK (user_id = (( SELECT current_user_id() AS current_user_id)) AND
    (EXISTS ( SELECT FROM topics t WHERE t.id = document_topics.topic_id)));
CREATE POLICY owner ON document_topics TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON document_topics TO worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON document_topics TO api, worker;

CREATE TABLE documents (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    object_key text NOT NULL,
    filename text NOT NULL,
    content_type text NOT NULL,
    size bigint NOT NULL,
    status text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    reason text NOT NULL DEFAULT ''::text,
    etag text NOT NULL DEFAULT ''::text,
    charged_bytes bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 1,
    announcement bigint NOT NULL DEFAULT 0,
    unpublished_at timestamp with time zone,
    topics_locked boolean NOT NULL DEFAULT false,
    provider text NOT NULL DEFAULT ''::text,
    model text NOT NULL DEFAULT ''::text,
    idempotency_key text,
    url_issued_at timestamp with time zone NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    uploaded_at timestamp with time zone,
    classified_at timestamp with time zone,
    gone_at timestamp with time zone,
    detected_type text,
    published_at timestamp with time zone,
    sha256 bytea,
    declared_sha256 bytea,
    multipart boolean NOT NULL DEFAULT false,
    requested_filename text,
    has_topics boolean NOT NULL DEFAULT false,
    filename_key text COLLATE "C" NOT NULL GENERATED ALWAYS AS (case_fold(filename)) STORED,
    CONSTRAINT documents_pkey PRIMARY KEY (id),
    CONSTRAINT documents_listing UNIQUE (user_id, id),
    CONSTRAINT documents_consistent CHECK (document_is_consistent(status, reason, size, charged_bytes, gone_at, version, announcement, object_key)),
    CONSTRAINT documents_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id)
);
COMMENT ON COLUMN documents.unpublished_at IS 'since when the event of the current version is to be published; NULL: it is published';
COMMENT ON COLUMN documents.detected_type IS 'the media type detected from the content; NULL: the content was not read yet, or before version 26 the same as content_type';
COMMENT ON COLUMN documents.published_at IS 'when the event of the current version was last stored in the stream; NULL: before this column existed, or never';
COMMENT ON COLUMN documents.sha256 IS 'the SHA-256 digest of the content, either declared and verified or computed; NULL: unknown';
COMMENT ON COLUMN documents.declared_sha256 IS 'the SHA-256 in the request that created the document; NULL: none';
COMMENT ON COLUMN documents.multipart IS 'the file is uploaded in parts';
COMMENT ON COLUMN documents.requested_filename IS 'the filename in the request with the idempotency key; NULL: no key, or the same as filename';
COMMENT ON COLUMN documents.has_topics IS 'document_topics has rows of the document; corrected by triggers of that table';
COMMENT ON COLUMN documents.filename_key IS 'the filename regardless of case, for the order of a listing and for searches';
CREATE INDEX documents_by_sha256 ON documents USING btree (user_id, sha256, id) WHERE sha256 IS NOT
    NULL AND (status = ANY (ARRAY['uploaded'::text, 'classified'::text, 'failed'::text]));
CREATE INDEX documents_by_status ON documents USING btree (user_id, status, id);
CREATE INDEX documents_ended ON documents USING btree (changed_at, id) WHERE status = ANY
    (ARRAY['rejected'::text, 'expired'::text]);
CREATE UNIQUE INDEX documents_idempotency ON documents USING btree (user_id, idempotency_key) WHERE
    idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX documents_object ON documents USING btree (object_key);
CREATE INDEX documents_pending ON documents USING btree (id) INCLUDE (url_issued_at) WHERE status =
    'pending'::text;
CREATE INDEX documents_single_user_keys ON documents USING btree (object_key COLLATE "C") WHERE
    object_key <> document_object_key(id);
CREATE INDEX documents_unpublished ON documents USING btree (unpublished_at, id) WHERE
    unpublished_at IS NOT NULL;
CREATE INDEX documents_uploaded ON documents USING btree (id) WHERE status = 'uploaded'::text;
CREATE INDEX documents_without_topics ON documents USING btree (user_id, id) WHERE NOT has_topics
    AND status <> 'deleting'::text;
CREATE TRIGGER document_inserted AFTER INSERT ON documents FOR EACH ROW EXECUTE FUNCTION
    document_inserted();
CREATE TRIGGER document_moved AFTER UPDATE ON documents FOR EACH ROW WHEN (old.filename_key <>
    new.filename_key OR old.size <> new.size) EXECUTE FUNCTION document_moved();
CREATE TRIGGER document_removed AFTER DELETE ON documents FOR EACH ROW EXECUTE FUNCTION
    document_removed();
ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE documents FORCE ROW LEVEL SECURITY;
CREATE POLICY api_insert ON documents FOR INSERT TO api WITH CHECK (user_id = (( SELECT
    current_user_id() AS current_user_id)) AND object_key = document_object_key(id));
CREATE POLICY api_read ON documents FOR SELECT TO api USING (user_id = (( SELECT current_user_id()
    AS current_user_id)));
CREATE POLICY api_write ON documents FOR UPDATE TO api USING (user_id = (( SELECT current_user_id()
    AS current_user_id)));
CREATE POLICY owner ON documents TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON documents TO worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (filename, size, status, reason, etag, charged_bytes, version,
    announcement, unpublished_at, topics_locked, provider, model, url_issued_at, changed_at,
    uploaded_at, classified_at, gone_at, detected_type, published_at, sha256, requested_filename,
    has_topics) ON documents TO api;
GRANT SELECT, UPDATE (filename, size, status, reason, etag, charged_bytes, version, announcement,
    unpublished_at, topics_locked, provider, model, url_issued_at, changed_at, uploaded_at,
    classified_at, gone_at, detected_type, published_at, sha256, requested_filename, has_topics),
    DELETE ON documents TO worker;

CREATE TABLE gone_keys (
    user_id uuid NOT NULL,
    idempotency_key text NOT NULL,
    document_id uuid NOT NULL,
    gone_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT gone_keys_pkey PRIMARY KEY (user_id, idempotency_key)
);
COMMENT ON TABLE gone_keys IS 'idempotency keys of documents whose object was gone although they were not deleted';
CREATE INDEX gone_keys_by_time ON gone_keys USING btree (gone_at);
ALTER TABLE gone_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE gone_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY api ON gone_keys FOR SELECT TO api USING (user_id = (( SELECT current_user_id() AS
    current_user_id)));
CREATE POLICY owner ON gone_keys TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON gone_keys TO worker USING (true) WITH CHECK (true);
GRANT SELECT ON gone_keys TO api;
GRANT SELECT, INSERT, UPDATE, DELETE ON gone_keys TO worker;

CREATE TABLE leases (
    name text NOT NULL,
    token uuid NOT NULL,
    holder text NOT NULL,
    acquired_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT leases_pkey PRIMARY KEY (name),
    CONSTRAINT leases_token_key UNIQUE (token)
);
COMMENT ON COLUMN leases.token IS 'identifies the acquisition; only transactions of its holder know it';
COMMENT ON COLUMN leases.holder IS 'the host and the process id of the holder, for operators';
ALTER TABLE leases ENABLE ROW LEVEL SECURITY;
ALTER TABLE leases FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON leases TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON leases TO worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON leases TO worker;

CREATE TABLE message_attempts (
    stream text NOT NULL,
    consumer text NOT NULL,
    sequence bigint NOT NULL,
    stored_at timestamp with time zone NOT NULL,
    attempts integer NOT NULL,
    failed_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT message_attempts_pkey PRIMARY KEY (stream, consumer, sequence, stored_at),
    CONSTRAINT message_attempts_attempts_check CHECK (attempts > 0)
);
COMMENT ON COLUMN message_attempts.stored_at IS 'when the stream stored the message; a stream that is created again repeats its sequence numbers';
COMMENT ON COLUMN message_attempts.attempts IS 'failed attempts; the row is deleted after a success';
CREATE INDEX message_attempts_by_time ON message_attempts USING btree (failed_at);
ALTER TABLE message_attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE message_attempts FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON message_attempts TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON message_attempts TO worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON message_attempts TO worker;

CREATE TABLE multipart_uploads (
    upload_id text NOT NULL,
    document_id uuid NOT NULL,
    user_id uuid NOT NULL,
    object_key text NOT NULL,
    size bigint NOT NULL,
    part_size bigint NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    renewed_at timestamp with time zone NOT NULL DEFAULT now(),
    aborting_at timestamp with time zone,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamp with time zone NOT NULL DEFAULT now(),
    last_error text NOT NULL DEFAULT ''::text,
    CONSTRAINT multipart_uploads_pkey PRIMARY KEY (upload_id),
    CONSTRAINT multipart_uploads_attempts_check CHECK (attempts >= 0),
    CONSTRAINT multipart_uploads_object_key_check CHECK (object_key <> ''::text),
    CONSTRAINT multipart_uploads_part_size_check CHECK (part_size > 0),
    CONSTRAINT multipart_uploads_size_check CHECK (size > 0),
    CONSTRAINT multipart_uploads_upload_id_check CHECK (upload_id <> ''::text)
);
COMMENT ON COLUMN multipart_uploads.aborting_at IS 'when the upload was abandoned; the sweeper then aborts it in object storage';
CREATE INDEX multipart_uploads_aborting ON multipart_uploads USING btree (next_attempt_at,
    upload_id) WHERE aborting_at IS NOT NULL;
CREATE INDEX multipart_uploads_by_user ON multipart_uploads USING btree (user_id, document_id);
CREATE UNIQUE INDEX multipart_uploads_document ON multipart_uploads USING btree (document_id) WHERE
    aborting_at IS NULL;
ALTER TABLE multipart_uploads ENABLE ROW LEVEL SECURITY;
ALTER TABLE multipart_uploads FORCE ROW LEVEL SECURITY;
CREATE POLICY api ON multipart_uploads TO api USING (user_id = (( SELECT current_user_id() AS
    current_user_id))) WITH CHECK (user_id = (( SELECT current_user_id() AS current_user_id)) AND
    (EXISTS ( SELECT FROM documents d WHERE d.id = multipart_uploads.document_id AND d.object_key =
    multipart_uploads.object_key)));
CREATE POLICY owner ON multipart_uploads TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON multipart_uploads TO worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (renewed_at, aborting_at), DELETE ON multipart_uploads TO api;
GRANT SELECT, UPDATE (aborting_at, attempts, next_attempt_at, last_error), DELETE ON
    multipart_uploads TO worker;

CREATE TABLE object_deletions (
    object_key text NOT NULL,
    document_id uuid,
    user_id uuid,
    requested_at timestamp with time zone NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamp with time zone NOT NULL DEFAULT now(),
    last_error text NOT NULL DEFAULT ''::text,
    deleted_at timestamp with time zone,
    idempotency_key text,
    CONSTRAINT object_deletions_pkey PRIMARY KEY (object_key),
    CONSTRAINT object_deletions_attempts_check CHECK (attempts >= 0),
    CONSTRAINT object_deletions_object_key_check CHECK (object_key <> ''::text)
);
COMMENT ON COLUMN object_deletions.idempotency_key IS 'the idempotency key of the document; NULL: none';
CREATE INDEX object_deletions_due ON object_deletions USING btree (next_attempt_at, object_key)
    WHERE deleted_at IS NULL;
CREATE INDEX object_deletions_ended ON object_deletions USING btree (deleted_at) WHERE deleted_at IS
    NOT NULL;
CREATE INDEX object_deletions_failing ON object_deletions USING btree (object_key) WHERE deleted_at
    IS NULL AND attempts > 0;
CREATE INDEX object_deletions_idempotency ON object_deletions USING btree (user_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX object_deletions_requested ON object_deletions USING btree (requested_at) WHERE
    deleted_at IS NULL;
CREATE TRIGGER object_deletions_notify AFTER INSERT ON object_deletions FOR EACH STATEMENT EXECUTE
    FUNCTION notify_object_deletions();
ALTER TABLE object_deletions ENABLE ROW LEVEL SECURITY;
ALTER TABLE object_deletions FORCE ROW LEVEL SECURITY;
CREATE POLICY api ON object_deletions TO api USING (user_id = (( SELECT current_user_id() AS
    current_user_id))) WITH CHECK (user_id = (( SELECT current_user_id() AS current_user_id)) AND
    (EXISTS ( SELECT FROM documents d WHERE d.id = object_deletions.document_id AND d.object_key =
    object_deletions.object_key)));
CREATE POLICY owner ON object_deletions TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON object_deletions TO worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (document_id, user_id, requested_at, attempts, next_attempt_at,
    last_error, deleted_at) ON object_deletions TO api;
GRANT SELECT, INSERT, UPDATE, DELETE ON object_deletions TO worker;

CREATE TABLE proof_keys (
    singleton boolean NOT NULL DEFAULT true,
    current bytea NOT NULL,
    previous bytea NOT NULL,
    rotated_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT proof_keys_pkey PRIMARY KEY (singleton),
    CONSTRAINT proof_keys_current_check CHECK (octet_length(current) = 32),
    CONSTRAINT proof_keys_previous_check CHECK (octet_length(previous) = 32),
    CONSTRAINT proof_keys_singleton_check CHECK (singleton)
);
COMMENT ON TABLE proof_keys IS 'the keys of the proofs with which the API binds to users';
COMMENT ON COLUMN proof_keys.singleton IS 'always true, so that the table holds at most one row';
CREATE TRIGGER audit_changed AFTER UPDATE ON proof_keys FOR EACH ROW EXECUTE FUNCTION
    audit_proof_key();
ALTER TABLE proof_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE proof_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON proof_keys TO CURRENT_USER USING (true) WITH CHECK (true);

CREATE TABLE quotas (
    user_id uuid NOT NULL,
    limit_bytes bigint NOT NULL,
    used_bytes bigint NOT NULL DEFAULT 0,
    CONSTRAINT quotas_pkey PRIMARY KEY (user_id),
    CONSTRAINT quotas_limit CHECK (limit_bytes >= 0),
    CONSTRAINT quotas_used CHECK (used_bytes >= 0),
    CONSTRAINT quotas_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id)
);
CREATE TRIGGER audit_changed AFTER UPDATE OF limit_bytes ON quotas FOR EACH ROW WHEN
    (new.limit_bytes IS DISTINCT FROM old.limit_bytes) EXECUTE FUNCTION audit_quota();
ALTER TABLE quotas ENABLE ROW LEVEL SECURITY;
ALTER TABLE quotas FORCE ROW LEVEL SECURITY;
CREATE POLICY api ON quotas TO api USING (user_id = (( SELECT current_user_id() AS
    current_user_id)));
CREATE POLICY owner ON quotas TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON quotas TO worker USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE (used_bytes) ON quotas TO api, worker;

CREATE TABLE reconciliation (
    singleton boolean NOT NULL DEFAULT true,
    finished_at timestamp with time zone,
    differences jsonb NOT NULL DEFAULT '{}'::jsonb,
    remaining bigint NOT NULL DEFAULT 0,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    attempted_at timestamp with time zone,
    CONSTRAINT reconciliation_pkey PRIMARY KEY (singleton),
    CONSTRAINT reconciliation_remaining_check CHECK (remaining >= 0),
    CONSTRAINT reconciliation_singleton_check CHECK (singleton)
);
COMMENT ON COLUMN reconciliation.singleton IS 'always true, so that the table holds at most one row: the last reconciliation';
COMMENT ON COLUMN reconciliation.finished_at IS 'NULL: none has finished';
COMMENT ON COLUMN reconciliation.differences IS 'the number of differences found, by kind';
COMMENT ON COLUMN reconciliation.remaining IS 'the number of differences that an operator has to resolve';
COMMENT ON COLUMN reconciliation.attempted_at IS 'when the sweeper last began a reconciliation, finished or not';
ALTER TABLE reconciliation ENABLE ROW LEVEL SECURITY;
ALTER TABLE reconciliation FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON reconciliation TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON reconciliation TO worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON reconciliation TO worker;

CREATE TABLE replay_blocks (
    replay text NOT NULL,
    block bigint NOT NULL,
    selected bit(1024) NOT NULL,
    applied bit(1024) NOT NULL DEFAULT repeat('0'::text, 1024)::bit(1024),
    unchanged bit(1024) NOT NULL DEFAULT repeat('0'::text, 1024)::bit(1024),
    failed bit(1024) NOT NULL DEFAULT repeat('0'::text, 1024)::bit(1024),
    last_outcome_at timestamp with time zone,
    CONSTRAINT replay_blocks_pkey PRIMARY KEY (replay, block),
    CONSTRAINT replay_blocks_replay_fkey FOREIGN KEY (replay) REFERENCES replays(name) ON DELETE CASCADE
);
COMMENT ON COLUMN replay_blocks.last_outcome_at IS 'when an outcome in this block was last recorded';
CREATE INDEX replay_blocks_by_block ON replay_blocks USING btree (block);
GRANT SELECT, UPDATE (applied, unchanged, failed, last_outcome_at) ON replay_blocks TO worker;

CREATE TABLE replay_generated_events (
    replay text NOT NULL,
    "position" bigint NOT NULL,
    object_key text NOT NULL,
    CONSTRAINT replay_generated_events_pkey PRIMARY KEY (replay, "position"),
    CONSTRAINT replay_generated_events_replay_fkey FOREIGN KEY (replay) REFERENCES replays(name) ON DELETE CASCADE
);

CREATE TABLE replays (
    name text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    selection jsonb NOT NULL,
    target text NOT NULL,
    status text NOT NULL DEFAULT 'running'::text,
    matched bigint NOT NULL DEFAULT 0,
    published bigint NOT NULL DEFAULT 0,
    applied bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    "position" bigint NOT NULL DEFAULT 0,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    stream text NOT NULL DEFAULT ''::text,
    stream_created timestamp with time zone,
    rate double precision NOT NULL DEFAULT 0,
    last_outcome_at timestamp with time zone,
    events_deleted boolean NOT NULL DEFAULT false,
    CONSTRAINT replays_pkey PRIMARY KEY (name),
    CONSTRAINT replays_applied_check CHECK (applied >= 0),
    CONSTRAINT replays_failed_check CHECK (failed >= 0),
    CONSTRAINT replays_matched_check CHECK (matched >= 0),
    CONSTRAINT replays_name_check CHECK (name <> ''::text),
    CONSTRAINT replays_position_check CHECK ("position" >= 0),
    CONSTRAINT replays_published_check CHECK (published >= 0),
    CONSTRAINT replays_rate_check CHECK (rate >= 0::double precision),
    CONSTRAINT replays_status CHECK (status = ANY (ARRAY['planning'::text, 'running'::text, 'paused'::text, 'canceled'::text, 'done'::text])),
    CONSTRAINT replays_unchanged_check CHECK (unchanged >= 0)
);
COMMENT ON COLUMN replays.target IS 'the consumer that handles the events again';
COMMENT ON COLUMN replays.applied IS 'set when the replay ends, like the other counts; until then see replay_blocks';
COMMENT ON COLUMN replays."position" IS 'the position of the last event that was published; the replay resumes after it';
COMMENT ON COLUMN replays.stream IS 'where the events are read; empty: they are generated, see replay_generated_events';
COMMENT ON COLUMN replays.stream_created IS 'when the stream was created; a recreated stream numbers its messages from 1';
COMMENT ON COLUMN replays.last_outcome_at IS 'when the last outcome was recorded; set when the replay ends';
COMMENT ON COLUMN replays.events_deleted IS 'the rows in replay_blocks and replay_generated_events were deleted';
CREATE INDEX replays_active ON replays USING btree (target) WHERE status = ANY
    (ARRAY['running'::text, 'paused'::text]);
CREATE INDEX replays_newest ON replays USING btree (created_at);
CREATE INDEX replays_rated ON replays USING btree (target, created_at) WHERE status = 'done'::text
    AND rate = 0::double precision AND matched >= 100;
CREATE INDEX replays_with_events ON replays USING btree (ended_at) WHERE ended_at IS NOT NULL AND
    NOT events_deleted;
CREATE TRIGGER audit_changed AFTER UPDATE OF status ON replays FOR EACH ROW WHEN (new.status IS
    DISTINCT FROM old.status) EXECUTE FUNCTION audit_replay();

CREATE TABLE sessions (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    family bytea NOT NULL,
    token bytea NOT NULL,
    previous bytea,
    nonce bytea,
    rotated_at timestamp with time zone NOT NULL DEFAULT now(),
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT sessions_pkey PRIMARY KEY (id),
    CONSTRAINT sessions_family_key UNIQUE (family),
    CONSTRAINT sessions_family_check CHECK (octet_length(family) = 32),
    CONSTRAINT sessions_previous_check CHECK (octet_length(previous) = 32),
    CONSTRAINT sessions_token_check CHECK (octet_length(token) = 32),
    CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);
COMMENT ON COLUMN sessions.nonce IS 'derives the current token, together with the previous token and the server''s key';
CREATE INDEX sessions_by_user ON sessions USING btree (user_id, rotated_at);
ALTER TABLE sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON sessions TO CURRENT_USER USING (true) WITH CHECK (true);

CREATE TABLE topics (
    id uuid NOT NULL,
    name text NOT NULL,
    user_id uuid,
    description text NOT NULL DEFAULT ''::text,
    keywords text[] NOT NULL DEFAULT '{}'::text[],
    suggested boolean NOT NULL DEFAULT false,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT topics_pkey PRIMARY KEY (id),
    CONSTRAINT topics_description CHECK (char_length(description) <= 500),
    CONSTRAINT topics_keywords CHECK (cardinality(keywords) <= 50),
    CONSTRAINT topics_name CHECK (char_length(name) >= 1 AND char_length(name) <= 40),
    CONSTRAINT topics_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);
COMMENT ON COLUMN topics.user_id IS 'NULL: a system topic, visible to every user';
CREATE UNIQUE INDEX topics_name_in_namespace ON topics USING btree (user_id, case_fold(name)) NULLS
    NOT DISTINCT;
CREATE TRIGGER audit_added AFTER INSERT ON topics FOR EACH ROW WHEN (new.user_id IS NULL) EXECUTE
    FUNCTION audit_system_topic();
CREATE TRIGGER audit_changed AFTER UPDATE ON topics FOR EACH ROW WHEN (new.user_id IS NULL AND new.*
    IS DISTINCT FROM old.*) EXECUTE FUNCTION audit_system_topic();
CREATE TRIGGER audit_removed AFTER DELETE ON topics FOR EACH ROW WHEN (old.user_id IS NULL) EXECUTE
    FUNCTION audit_system_topic();
CREATE TRIGGER topics_limit BEFORE INSERT ON topics FOR EACH ROW EXECUTE FUNCTION
    check_topic_limit();
ALTER TABLE topics ENABLE ROW LEVEL SECURITY;
ALTER TABLE topics FORCE ROW LEVEL SECURITY;
CREATE POLICY api_delete ON topics FOR DELETE TO api USING (user_id = (( SELECT current_user_id() AS
    current_user_id)) OR user_id IS NULL AND ( SELECT current_user_is_admin() AS
    current_user_is_admin));
CREATE POLICY api_insert ON topics FOR INSERT TO api WITH CHECK (user_id = (( SELECT
    current_user_id() AS current_user_id)) OR user_id IS NULL AND ( SELECT current_user_is_admin()
    AS current_user_is_admin));
CREATE POLICY api_read ON topics FOR SELECT TO api USING (user_id = (( SELECT current_user_id() AS
    current_user_id)) OR user_id IS NULL AND (( SELECT current_user_id() AS current_user_id)) IS NOT
    NULL);
CREATE POLICY api_write ON topics FOR UPDATE TO api USING (user_id = (( SELECT current_user_id() AS
    current_user_id)) OR user_id IS NULL AND ( SELECT current_user_is_admin() AS
    current_user_is_admin));
CREATE POLICY owner ON topics TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON topics TO worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (name, description, keywords, suggested), DELETE ON topics TO api;
GRANT SELECT, INSERT ON topics TO worker;

CREATE TABLE unchecked_uploads (
    document_id uuid NOT NULL,
    attempts integer NOT NULL,
    next_attempt_at timestamp with time zone NOT NULL,
    last_error text NOT NULL,
    dead_at timestamp with time zone,
    CONSTRAINT unchecked_uploads_pkey PRIMARY KEY (document_id),
    CONSTRAINT unchecked_uploads_attempts_check CHECK (attempts > 0),
    CONSTRAINT unchecked_uploads_document_id_fkey FOREIGN KEY (document_id) REFERENCES documents(id) ON DELETE CASCADE
);
COMMENT ON TABLE unchecked_uploads IS 'pending documents whose object cannot be checked';
COMMENT ON COLUMN unchecked_uploads.dead_at IS 'when it became a dead letter; then the sweeper makes no other, even if an operator drops it';
CREATE INDEX unchecked_uploads_due ON unchecked_uploads USING btree (next_attempt_at);
ALTER TABLE unchecked_uploads ENABLE ROW LEVEL SECURITY;
ALTER TABLE unchecked_uploads FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON unchecked_uploads TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON unchecked_uploads TO worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON unchecked_uploads TO worker;

CREATE TABLE user_identities (
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id uuid,
    seen_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT user_identities_pkey PRIMARY KEY (issuer, subject),
    CONSTRAINT user_identities_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE SET NULL
);
COMMENT ON COLUMN user_identities.user_id IS 'NULL: the user was deleted; signing in does not create the user again';
CREATE INDEX user_identities_by_user ON user_identities USING btree (user_id);
ALTER TABLE user_identities ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_identities FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON user_identities TO CURRENT_USER USING (true) WITH CHECK (true);

CREATE TABLE users (
    id uuid NOT NULL,
    email text NOT NULL,
    password_hash text,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    role text NOT NULL DEFAULT 'user'::text,
    ai_provider text NOT NULL DEFAULT ''::text,
    ai_model text NOT NULL DEFAULT ''::text,
    exact_email boolean NOT NULL DEFAULT false,
    has_password boolean NOT NULL GENERATED ALWAYS AS (password_hash IS NOT NULL) STORED,
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_email_key UNIQUE (email),
    CONSTRAINT users_role CHECK (role = ANY (ARRAY['user'::text, 'admin'::text]))
);
COMMENT ON COLUMN users.exact_email IS 'an older user has the same address, ignoring case and Unicode normalization form; this one is found only by the exact spelling';
CREATE INDEX users_administrators ON users USING btree (id) WHERE role = 'admin'::text;
CREATE UNIQUE INDEX users_email_ignoring_case ON users USING btree (case_fold(email)) WHERE NOT
    exact_email;
CREATE TRIGGER audit_added AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION audit_user();
CREATE TRIGGER audit_changed AFTER UPDATE OF password_hash, role, ai_provider, ai_model ON users FOR
    EACH ROW EXECUTE FUNCTION audit_user();
CREATE TRIGGER audit_removed AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION audit_user();
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY api ON users FOR SELECT TO api USING (id = (( SELECT current_user_id() AS
    current_user_id)));
CREATE POLICY owner ON users TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON users TO worker USING (true) WITH CHECK (true);
GRANT SELECT (id, email, created_at, role, ai_provider, ai_model, has_password) ON users TO api;
GRANT SELECT (id, ai_provider, ai_model) ON users TO worker;

CREATE TABLE write_checks (
    filler text NOT NULL
) WITH (autovacuum_vacuum_threshold=50, autovacuum_vacuum_scale_factor=0);
ALTER TABLE write_checks ENABLE ROW LEVEL SECURITY;
ALTER TABLE write_checks FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON write_checks TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY write ON write_checks FOR INSERT TO api, worker WITH CHECK (true);
GRANT INSERT ON write_checks TO api, worker;


---- Functions

CREATE FUNCTION account_by_email(email text)
 RETURNS TABLE(id uuid, password_hash text, role text)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
    SELECT u.id, coalesce(u.password_hash, ''), u.role FROM users AS u
    WHERE u.email = account_by_email.email
        OR (case_fold(u.email) = case_fold(account_by_email.email) AND NOT u.exact_email)
    ORDER BY u.email = account_by_email.email DESC LIMIT 1
$function$;
GRANT EXECUTE ON FUNCTION account_by_email(text) TO auth;

CREATE FUNCTION act_as(acting uuid, client inet)
 RETURNS void
 LANGUAGE sql
AS $function$
    SELECT set_config('intray.acting_user', coalesce(acting::text, ''), true),
        set_config('intray.address', coalesce(client::text, ''), true)
$function$;

CREATE FUNCTION add_failed_sign_ins(minute timestamp with time zone, name text, client inet, failures bigint)
 RETURNS void
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    known uuid;
    tried text := name;
    new_account text := name;
    new_address inet := client;
    is_new boolean;
    is_full boolean;
BEGIN
    SELECT u.id, u.email INTO known, new_account
        FROM account_by_email(tried) AS a JOIN users AS u ON u.id = a.id;
    IF NOT FOUND THEN
        new_account := tried;
    END IF;
    FOR attempt IN 1 .. 2 LOOP
        is_new := NOT EXISTS (SELECT FROM audit_events AS e
            WHERE e.kind = 'sign_in_failed' AND e.at = minute
                AND (e.account = new_account OR e.account IS NULL AND new_account IS NULL)
                AND (e.address = new_address OR e.address IS NULL AND new_address IS NULL));
        EXIT WHEN NOT is_new;
        SELECT count(*) = CASE WHEN known IS NULL THEN 10 ELSE 30 END INTO is_full
            FROM (SELECT FROM audit_events AS e
                WHERE e.kind = 'sign_in_failed' AND e.at = minute
                    AND (e.user_id IS NULL) = (known IS NULL)
                    AND (e.account IS NULL) = (new_account IS NULL)
                    AND (e.address IS NULL) = (new_address IS NULL)
                LIMIT CASE WHEN known IS NULL THEN 10 ELSE 30 END) AS same;
        EXIT WHEN NOT is_full;
        IF attempt = 2 OR client IS NULL THEN
            known := NULL;
            new_account := NULL;
            new_address := NULL;
            EXIT;
        ELSIF known IS NULL THEN
            new_account := NULL;
        ELSE
            new_address := NULL;
        END IF;
    END LOOP;
    INSERT INTO audit_events AS e (kind, at, user_id, account, address, count)
        VALUES ('sign_in_failed', minute, known, new_account, new_address, failures)
        ON CONFLICT (at, account, address) WHERE kind = 'sign_in_failed'
            DO UPDATE SET count = e.count + excluded.count;
END
$function$;

CREATE FUNCTION admin_change_user(target uuid, new_limit bigint, new_provider text, new_model text)
 RETURNS TABLE(id uuid, email text, role text, ai_provider text, ai_model text, has_password boolean, created_at timestamp with time zone, limit_bytes bigint, used_bytes bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    PERFORM require_admin();
    UPDATE quotas AS q SET limit_bytes = coalesce(new_limit, q.limit_bytes)
        WHERE q.user_id = target;
    RETURN QUERY
        UPDATE users AS u SET
            ai_provider = coalesce(new_provider, u.ai_provider),
            ai_model    = coalesce(new_model, u.ai_model)
        FROM quotas AS q WHERE u.id = target AND q.user_id = u.id
        RETURNING u.id, u.email, u.role, u.ai_provider, u.ai_model, u.has_password, u.created_at,
            q.limit_bytes, q.used_bytes;
END
$function$;
GRANT EXECUTE ON FUNCTION admin_change_user(uuid,bigint,text,text) TO api;

CREATE FUNCTION admin_user(target uuid)
 RETURNS TABLE(id uuid, email text, role text, ai_provider text, ai_model text, has_password boolean, created_at timestamp with time zone, limit_bytes bigint, used_bytes bigint)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    PERFORM require_admin();
    RETURN QUERY
        SELECT u.id, u.email, u.role, u.ai_provider, u.ai_model, u.has_password, u.created_at,
            q.limit_bytes, q.used_bytes
        FROM users AS u JOIN quotas AS q ON q.user_id = u.id WHERE u.id = target;
END
$function$;
GRANT EXECUTE ON FUNCTION admin_user(uuid) TO api;

CREATE FUNCTION admin_users(after uuid, max_rows integer)
 RETURNS TABLE(id uuid, email text, role text, ai_provider text, ai_model text, has_password boolean, created_at timestamp with time zone, limit_bytes bigint, used_bytes bigint)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    PERFORM require_admin();
    -- OFFSET 0 makes the planner look each quota up by the index.
    RETURN QUERY
        SELECT u.id, u.email, u.role, u.ai_provider, u.ai_model, u.has_password, u.created_at,
            q.limit_bytes, q.used_bytes
        FROM users AS u CROSS JOIN LATERAL (
            SELECT x.limit_bytes, x.used_bytes FROM quotas AS x WHERE x.user_id = u.id OFFSET 0) AS q
        WHERE u.id > coalesce(admin_users.after, '00000000-0000-0000-0000-000000000000')
        ORDER BY u.id LIMIT max_rows;
END
$function$;
GRANT EXECUTE ON FUNCTION admin_users(uuid,integer) TO api;

CREATE FUNCTION audit(kind text, about uuid, account text, details jsonb)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
    is_server CONSTANT boolean := session_user IN ('api', 'auth', 'worker');
    acting CONSTANT uuid := coalesce(current_user_id(),
        nullif(current_setting('intray.acting_user', true), '')::uuid);
    operator CONSTANT text := CASE WHEN is_server THEN nullif(nullif(session_user, 'api'), 'auth')
        ELSE coalesce(nullif(current_setting('intray.actor', true), ''), session_user) END;
    reason CONSTANT text := CASE WHEN NOT is_server
        THEN left(nullif(current_setting('intray.reason', true), ''), 300) END;
BEGIN
    INSERT INTO audit_events AS e (kind, actor_id, actor, user_id, account, address, details)
        SELECT audit.kind, acting,
            left(coalesce((SELECT u.email FROM users AS u WHERE u.id = acting), operator), 320),
            about,
            left(coalesce(audit.account, (SELECT u.email FROM users AS u WHERE u.id = about)), 320),
            nullif(current_setting('intray.address', true), '')::inet,
            jsonb_strip_nulls(audit.details || jsonb_build_object('reason', reason));
END
$function$;

CREATE FUNCTION audit_proof_key()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$ BEGIN PERFORM audit('proof_key_rotated', NULL, NULL, '{}'); RETURN NULL; END $function$;

CREATE FUNCTION audit_quota()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    PERFORM audit('quota_changed', NEW.user_id, NULL,
        jsonb_build_object('from', OLD.limit_bytes, 'to', NEW.limit_bytes));
    RETURN NULL;
END
$function$;

CREATE FUNCTION audit_replay()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    PERFORM audit(
        CASE NEW.status
            WHEN 'running' THEN
                CASE OLD.status WHEN 'planning' THEN 'replay_started' ELSE 'replay_resumed' END
            WHEN 'paused' THEN 'replay_paused'
            WHEN 'canceled' THEN 'replay_canceled'
            ELSE 'replay_ended'
        END, NULL, NULL, jsonb_build_object('name', left(NEW.name, 100), 'to', NEW.target,
            'events', NEW.matched, 'requested_by', left(NEW.actor, 100),
            'replay_reason', left(NEW.reason, 300)));
    RETURN NULL;
END
$function$;

CREATE FUNCTION audit_system_topic()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM audit('system_topic_removed', NULL, NULL,
            jsonb_build_object('topic_id', OLD.id, 'name', OLD.name));
    ELSE
        PERFORM audit(
            CASE TG_OP WHEN 'INSERT' THEN 'system_topic_added' ELSE 'system_topic_changed' END,
            NULL, NULL, jsonb_build_object('topic_id', NEW.id, 'name', NEW.name));
    END IF;
    RETURN NULL;
END
$function$;

CREATE FUNCTION audit_user()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM audit('user_added', NEW.id, NEW.email, jsonb_build_object('role', NEW.role));
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM audit('user_removed', OLD.id, OLD.email, '{}');
    ELSE
        IF NEW.password_hash IS DISTINCT FROM OLD.password_hash THEN
            PERFORM audit('password_changed', NEW.id, NEW.email, CASE
                WHEN NEW.password_hash IS NULL THEN '{"removed": true}'::jsonb ELSE '{}' END);
        END IF;
        IF NEW.role IS DISTINCT FROM OLD.role THEN
            PERFORM audit('role_changed', NEW.id, NEW.email,
                jsonb_build_object('from', OLD.role, 'to', NEW.role));
        END IF;
        IF (NEW.ai_provider, NEW.ai_model) IS DISTINCT FROM (OLD.ai_provider, OLD.ai_model) THEN
            PERFORM audit('ai_settings_changed', NEW.id, NEW.email, jsonb_build_object(
                'from_provider', left(OLD.ai_provider, 100), 'to_provider', left(NEW.ai_provider, 100),
                'from_model', left(OLD.ai_model, 100), 'to_model', left(NEW.ai_model, 100)));
        END IF;
    END IF;
    RETURN NULL;
END
$function$;

CREATE FUNCTION case_fold(value text)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$
BEGIN
    -- The collation "C" has case for the letters of ASCII only.
    IF octet_length(value) = char_length(value) THEN
        RETURN lower(value COLLATE "C");
    END IF;
    RETURN case_fold_unicode(value);
END
$function$;
GRANT EXECUTE ON FUNCTION case_fold(text) TO api, worker;

CREATE FUNCTION case_fold_unicode(value text)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$
DECLARE
    upper_case CONSTANT text :=
        'µÆÐØÞĐĦĲĿŁŊŒŦſƁƂƄƆƇƉƊƋƎƏƐƑƓƔƖƗƘƜƝƟƢƤƦƧƩƬƮƱƲƳƵƷƸƼǄǅǇǈǊǋǤǱǲǶǷȜȠȢȤȺȻȽȾɁɃɄɅɆɈɊɌɎͅͰͲͶ'
        'ͿΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩςϏϐϑϕϖϘϚϜϞϠϢϤϦϨϪϬϮϰϱϴϵϷϹϺϽϾϿЂЄЅІЈЉЊЋЏАБВГДЕЖЗИКЛМНОПРСТ'
        'УФХЦЧШЩЪЫЬЭЮЯѠѢѤѦѨѪѬѮѰѲѴѸѺѼѾҀҊҌҎҐҒҔҖҘҚҜҞҠҢҤҦҨҪҬҮҰҲҴҶҸҺҼҾӀӃӅӇӉӋӍӔӘӠӨӶӺӼӾԀԂԄԆԈԊԌԎԐ'
        'ԒԔԖԘԚԜԞԠԢԤԦԨԪԬԮԱԲԳԴԵԶԷԸԹԺԻԼԽԾԿՀՁՂՃՄՅՆՇՈՉՊՋՌՍՎՏՐՑՒՓՔՕՖႠႡႢႣႤႥႦႧႨႩႪႫႬႭႮႯႰႱႲႳႴႵႶႷႸႹႺ'
        'ႻႼႽႾႿჀჁჂჃჄჅჇჍᎠᎡᎢᎣᎤᎥᎦᎧᎨᎩᎪᎫᎬᎭᎮᎯᎰᎱᎲᎳᎴᎵᎶᎷᎸᎹᎺᎻᎼᎽᎾᎿᏀᏁᏂᏃᏄᏅᏆᏇᏈᏉᏊᏋᏌᏍᏎᏏᏐᏑᏒᏓᏔᏕᏖᏗᏘᏙᏚᏛᏜᏝᏞᏟᏠᏡᏢ'
        'ᏣᏤᏥᏦᏧᏨᏩᏪᏫᏬᏭᏮᏯᏰᏱᏲᏳᏴᏵᏸᏹᏺᏻᏼᏽᲀᲁᲂᲃᲄᲅᲆᲇᲈᲐᲑᲒᲓᲔᲕᲖᲗᲘᲙᲚᲛᲜᲝᲞᲟᲠᲡᲢᲣᲤᲥᲦᲧᲨᲩᲪᲫᲬᲭᲮᲯᲰᲱᲲᲳᲴᲵᲶᲷᲸᲹᲺᲽᲾᲿ'
        'ỺỼỾℲⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩⅪⅫⅬⅭⅮⅯↃⒶⒷⒸⒹⒺⒻⒼⒽⒾⒿⓀⓁⓂⓃⓄⓅⓆⓇⓈⓉⓊⓋⓌⓍⓎⓏⰀⰁⰂⰃⰄⰅⰆⰇⰈⰉⰊⰋⰌⰍⰎⰏⰐⰑⰒⰓⰔⰕⰖⰗⰘⰙⰚⰛⰜⰝⰞⰟⰠ'
        'ⰡⰢⰣⰤⰥⰦⰧⰨⰩⰪⰫⰬⰭⰮⰯⱠⱢⱣⱤⱧⱩⱫⱭⱮⱯⱰⱲⱵⱾⱿⲀⲂⲄⲆⲈⲊⲌⲎⲐⲒⲔⲖⲘⲚⲜⲞⲠⲢⲤⲦⲨⲪⲬⲮⲰⲲⲴⲶⲸⲺⲼⲾⳀⳂⳄⳆⳈⳊⳌⳎⳐⳒⳔⳖⳘⳚⳜⳞⳠⳢ'
        'ⳫⳭⳲꙀꙂꙄꙆꙈꙊꙌꙎꙐꙒꙔꙖꙘꙚꙜꙞꙠꙢꙤꙦꙨꙪꙬꚀꚂꚄꚆꚈꚊꚌꚎꚐꚒꚔꚖꚘꚚꜢꜤꜦꜨꜪꜬꜮꜲꜴꜶꜸꜺꜼꜾꝀꝂꝄꝆꝈꝊꝌꝎꝐꝒꝔꝖꝘꝚꝜꝞꝠꝢꝤꝦꝨꝪꝬꝮꝹꝻ'
        'ꝽꝾꞀꞂꞄꞆꞋꞍꞐꞒꞖꞘꞚꞜꞞꞠꞢꞤꞦꞨꞪꞫꞬꞭꞮꞰꞱꞲꞳꞴꞶꞸꞺꞼꞾꟀꟂꟄꟅꟆꟇꟉꟐꟖꟘꟵꭰꭱꭲꭳꭴꭵꭶꭷꭸꭹꭺꭻꭼꭽꭾꭿꮀꮁꮂꮃꮄꮅꮆꮇꮈꮉꮊꮋꮌꮍꮎꮏꮐꮑ'
        'ꮒꮓꮔꮕꮖꮗꮘꮙꮚꮛꮜꮝꮞꮟꮠꮡꮢꮣꮤꮥꮦꮧꮨꮩꮪꮫꮬꮭꮮꮯꮰꮱꮲꮳꮴꮵꮶꮷꮸꮹꮺꮻꮼꮽꮾꮿＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺ𐐀𐐁𐐂𐐃𐐄𐐅𐐆𐐇'
        '𐐈𐐉𐐊𐐋𐐌𐐍𐐎𐐏𐐐𐐑𐐒𐐓𐐔𐐕𐐖𐐗𐐘𐐙𐐚𐐛𐐜𐐝𐐞𐐟𐐠𐐡𐐢𐐣𐐤𐐥𐐦𐐧𐒰𐒱𐒲𐒳𐒴𐒵𐒶𐒷𐒸𐒹𐒺𐒻𐒼𐒽𐒾𐒿𐓀𐓁𐓂𐓃𐓄𐓅𐓆𐓇𐓈𐓉𐓊𐓋𐓌𐓍𐓎𐓏𐓐𐓑𐓒𐓓𐕰𐕱𐕲𐕳𐕴𐕵𐕶𐕷𐕸𐕹𐕺𐕼'
        '𐕽𐕾𐕿𐖀𐖁𐖂𐖃𐖄𐖅𐖆𐖇𐖈𐖉𐖊𐖌𐖍𐖎𐖏𐖐𐖑𐖒𐖔𐖕𐲀𐲁𐲂𐲃𐲄𐲅𐲆𐲇𐲈𐲉𐲊𐲋𐲌𐲍𐲎𐲏𐲐𐲑𐲒𐲓𐲔𐲕𐲖𐲗𐲘𐲙𐲚𐲛𐲜𐲝𐲞𐲟𐲠𐲡𐲢𐲣𐲤𐲥𐲦𐲧𐲨𐲩𐲪𐲫𐲬𐲭𐲮𐲯𐲰𐲱𐲲𑢠𑢡𑢢𑢣𑢤𑢥'
        '𑢦𑢧𑢨𑢩𑢪𑢫𑢬𑢭𑢮𑢯𑢰𑢱𑢲𑢳𑢴𑢵𑢶𑢷𑢸𑢹𑢺𑢻𑢼𑢽𑢾𑢿𖹀𖹁𖹂𖹃𖹄𖹅𖹆𖹇𖹈𖹉𖹊𖹋𖹌𖹍𖹎𖹏𖹐𖹑𖹒𖹓𖹔𖹕𖹖𖹗𖹘𖹙𖹚𖹛𖹜𖹝𖹞𖹟𞤀𞤁𞤂𞤃𞤄𞤅𞤆𞤇𞤈𞤉𞤊𞤋𞤌𞤍𞤎𞤏𞤐𞤑𞤒𞤓𞤔𞤕'
        '𞤖𞤗𞤘𞤙𞤚𞤛𞤜𞤝𞤞𞤟𞤠𞤡';
    lower_case CONSTANT text :=
        'μæðøþđħĳŀłŋœŧsɓƃƅɔƈɖɗƌǝəɛƒɠɣɩɨƙɯɲɵƣƥʀƨʃƭʈʊʋƴƶʒƹƽǆǆǉǉǌǌǥǳǳƕƿȝƞȣȥⱥȼƚⱦɂƀʉʌɇɉɋɍɏιͱͳͷ'
        'ϳαβγδεζηθικλμνξοπρστυφχψωσϗβθφπϙϛϝϟϡϣϥϧϩϫϭϯκρθεϸϲϻͻͼͽђєѕіјљњћџабвгдежзиклмнопрст'
        'уфхцчшщъыьэюяѡѣѥѧѩѫѭѯѱѳѵѹѻѽѿҁҋҍҏґғҕҗҙқҝҟҡңҥҧҩҫҭүұҳҵҷҹһҽҿӏӄӆӈӊӌӎӕәӡөӷӻӽӿԁԃԅԇԉԋԍԏԑ'
        'ԓԕԗԙԛԝԟԡԣԥԧԩԫԭԯաբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆⴀⴁⴂⴃⴄⴅⴆⴇⴈⴉⴊⴋⴌⴍⴎⴏⴐⴑⴒⴓⴔⴕⴖⴗⴘⴙⴚ'
        'ⴛⴜⴝⴞⴟⴠⴡⴢⴣⴤⴥⴧⴭꭰꭱꭲꭳꭴꭵꭶꭷꭸꭹꭺꭻꭼꭽꭾꭿꮀꮁꮂꮃꮄꮅꮆꮇꮈꮉꮊꮋꮌꮍꮎꮏꮐꮑꮒꮓꮔꮕꮖꮗꮘꮙꮚꮛꮜꮝꮞꮟꮠꮡꮢꮣꮤꮥꮦꮧꮨꮩꮪꮫꮬꮭꮮꮯꮰꮱꮲ'
        'ꮳꮴꮵꮶꮷꮸꮹꮺꮻꮼꮽꮾꮿᏸᏹᏺᏻᏼᏽᏰᏱᏲᏳᏴᏵвдосттъѣꙋაბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰჱჲჳჴჵჶჷჸჹჺჽჾჿ'
        'ỻỽỿⅎⅰⅱⅲⅳⅴⅵⅶⅷⅸⅹⅺⅻⅼⅽⅾⅿↄⓐⓑⓒⓓⓔⓕⓖⓗⓘⓙⓚⓛⓜⓝⓞⓟⓠⓡⓢⓣⓤⓥⓦⓧⓨⓩⰰⰱⰲⰳⰴⰵⰶⰷⰸⰹⰺⰻⰼⰽⰾⰿⱀⱁⱂⱃⱄⱅⱆⱇⱈⱉⱊⱋⱌⱍⱎⱏⱐ'
        'ⱑⱒⱓⱔⱕⱖⱗⱘⱙⱚⱛⱜⱝⱞⱟⱡɫᵽɽⱨⱪⱬɑɱɐɒⱳⱶȿɀⲁⲃⲅⲇⲉⲋⲍⲏⲑⲓⲕⲗⲙⲛⲝⲟⲡⲣⲥⲧⲩⲫⲭⲯⲱⲳⲵⲷⲹⲻⲽⲿⳁⳃⳅⳇⳉⳋⳍⳏⳑⳓⳕⳗⳙⳛⳝⳟⳡⳣ'
        'ⳬⳮⳳꙁꙃꙅꙇꙉꙋꙍꙏꙑꙓꙕꙗꙙꙛꙝꙟꙡꙣꙥꙧꙩꙫꙭꚁꚃꚅꚇꚉꚋꚍꚏꚑꚓꚕꚗꚙꚛꜣꜥꜧꜩꜫꜭꜯꜳꜵꜷꜹꜻꜽꜿꝁꝃꝅꝇꝉꝋꝍꝏꝑꝓꝕꝗꝙꝛꝝꝟꝡꝣꝥꝧꝩꝫꝭꝯꝺꝼ'
        'ᵹꝿꞁꞃꞅꞇꞌɥꞑꞓꞗꞙꞛꞝꞟꞡꞣꞥꞧꞩɦɜɡɬɪʞʇʝꭓꞵꞷꞹꞻꞽꞿꟁꟃꞔʂᶎꟈꟊꟑꟗꟙꟶᎠᎡᎢᎣᎤᎥᎦᎧᎨᎩᎪᎫᎬᎭᎮᎯᎰᎱᎲᎳᎴᎵᎶᎷᎸᎹᎺᎻᎼᎽᎾᎿᏀᏁ'
        'ᏂᏃᏄᏅᏆᏇᏈᏉᏊᏋᏌᏍᏎᏏᏐᏑᏒᏓᏔᏕᏖᏗᏘᏙᏚᏛᏜᏝᏞᏟᏠᏡᏢᏣᏤᏥᏦᏧᏨᏩᏪᏫᏬᏭᏮᏯａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ𐐨𐐩𐐪𐐫𐐬𐐭𐐮𐐯'
        '𐐰𐐱𐐲𐐳𐐴𐐵𐐶𐐷𐐸𐐹𐐺𐐻𐐼𐐽𐐾𐐿𐑀𐑁𐑂𐑃𐑄𐑅𐑆𐑇𐑈𐑉𐑊𐑋𐑌𐑍𐑎𐑏𐓘𐓙𐓚𐓛𐓜𐓝𐓞𐓟𐓠𐓡𐓢𐓣𐓤𐓥𐓦𐓧𐓨𐓩𐓪𐓫𐓬𐓭𐓮𐓯𐓰𐓱𐓲𐓳𐓴𐓵𐓶𐓷𐓸𐓹𐓺𐓻𐖗𐖘𐖙𐖚𐖛𐖜𐖝𐖞𐖟𐖠𐖡𐖣'
        '𐖤𐖥𐖦𐖧𐖨𐖩𐖪𐖫𐖬𐖭𐖮𐖯𐖰𐖱𐖳𐖴𐖵𐖶𐖷𐖸𐖹𐖻𐖼𐳀𐳁𐳂𐳃𐳄𐳅𐳆𐳇𐳈𐳉𐳊𐳋𐳌𐳍𐳎𐳏𐳐𐳑𐳒𐳓𐳔𐳕𐳖𐳗𐳘𐳙𐳚𐳛𐳜𐳝𐳞𐳟𐳠𐳡𐳢𐳣𐳤𐳥𐳦𐳧𐳨𐳩𐳪𐳫𐳬𐳭𐳮𐳯𐳰𐳱𐳲𑣀𑣁𑣂𑣃𑣄𑣅'
        '𑣆𑣇𑣈𑣉𑣊𑣋𑣌𑣍𑣎𑣏𑣐𑣑𑣒𑣓𑣔𑣕𑣖𑣗𑣘𑣙𑣚𑣛𑣜𑣝𑣞𑣟𖹠𖹡𖹢𖹣𖹤𖹥𖹦𖹧𖹨𖹩𖹪𖹫𖹬𖹭𖹮𖹯𖹰𖹱𖹲𖹳𖹴𖹵𖹶𖹷𖹸𖹹𖹺𖹻𖹼𖹽𖹾𖹿𞤢𞤣𞤤𞤥𞤦𞤧𞤨𞤩𞤪𞤫𞤬𞤭𞤮𞤯𞤰𞤱𞤲𞤳𞤴𞤵𞤶𞤷'
        '𞤸𞤹𞤺𞤻𞤼𞤽𞤾𞤿𞥀𞥁𞥂𞥃';
    expansions CONSTANT text[] := '{
        ß, ss, ẞ, ss, ŉ, ʼn, ẚ, aʾ, ﬀ, ff, ﬁ, fi, ﬂ, fl, ﬃ, ffi, ﬄ, ffl, ﬅ, st, ﬆ, st,
        և, եւ, ﬓ, մն, ﬔ, մե, ﬕ, մի, ﬖ, վն, ﬗ, մխ}';
    folded text;
BEGIN
    folded := replace(lower(normalize(value, NFD) COLLATE "C"), 'ß', 'ss');
    -- Most names need no more: their other characters are combining ones, except U+0345, or of
    -- scripts without case (Chinese, Japanese, Korean).
    IF folded COLLATE "C" !~ E'[^\\x01-\\x7F\u0300-\u0344\u0346-\u036F\u1100-\u11FF\u2E80-\uA63F\uAC00-\uD7FF]' THEN
        RETURN normalize(folded, NFC);
    END IF;
    folded := translate(folded, upper_case, lower_case);
    FOR i IN 1 .. cardinality(expansions) BY 2 LOOP
        folded := replace(folded, expansions[i], expansions[i + 1]);
    END LOOP;
    RETURN normalize(folded, NFC);
END
$function$;
GRANT EXECUTE ON FUNCTION case_fold_unicode(text) TO api, worker;

CREATE FUNCTION change_password(target uuid, verified_hash text, new_hash text, kept_session uuid, client inet)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    PERFORM act_as(target, client);
    UPDATE users AS u SET password_hash = new_hash
        WHERE u.id = target AND u.password_hash = verified_hash;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM sessions AS s WHERE s.user_id = target AND s.id IS DISTINCT FROM kept_session;
    RETURN true;
END
$function$;
GRANT EXECUTE ON FUNCTION change_password(uuid,text,text,uuid,inet) TO auth;

CREATE FUNCTION check_topic_limit()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
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
$function$;

CREATE FUNCTION create_documents(owners uuid[], expires bigint, macs bytea[], new_ids uuid[], new_filenames text[], new_types text[], new_sizes bigint[], digests bytea[], multiparts boolean[], keys text[], max_pending bigint, all_of_one boolean)
 RETURNS TABLE(existing uuid, remaining_bytes bigint, pending bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET lock_timeout TO '100ms'
AS $function$
DECLARE
    owner uuid;
    current_owner uuid;
    owner_left bigint;
    owner_pending bigint;
    requested bigint := 0;
    counted uuid[] := '{}';
    repeated record;
BEGIN
    FOR i IN 1 .. cardinality(new_ids) LOOP
        -- This is not a CHECK of the table, which would make every UPDATE of a document slower.
        IF octet_length(digests[i]) NOT IN (0, 32) THEN
            RAISE EXCEPTION 'the digest has % bytes', octet_length(digests[i])
                USING ERRCODE = 'check_violation';
        END IF;
        owner := owners[i];
        existing := NULL;
        pending := 0;
        IF i = 1 OR owner IS DISTINCT FROM current_owner THEN
            IF NOT is_proven(owner, expires, macs[i]) THEN
                RAISE EXCEPTION 'the proof of the user is not valid' USING ERRCODE = 'IN403';
            END IF;
            current_owner := owner;
            -- The condition on the status is a range that contains only pending, so that the planner
            -- uses documents_by_status. For an equality, with statistics from before a burst, it could
            -- choose documents_pending and read all users' pending documents.
            SELECT q.limit_bytes - q.used_bytes, (
                    SELECT count(*) FROM (
                        SELECT FROM documents AS d
                        WHERE d.user_id = owner AND d.status >= 'pending' AND d.status <= 'pending'
                        LIMIT max_pending) AS p)
                INTO owner_left, owner_pending FROM quotas AS q WHERE q.user_id = owner;
        END IF;
        remaining_bytes := owner_left - requested;
        IF keys[i] <> '' THEN
            SELECT d.id, d.status, d.size INTO repeated FROM documents AS d
                WHERE d.user_id = owner AND d.idempotency_key = keys[i];
            existing := repeated.id;
        END IF;
        IF multiparts[i] THEN
            remaining_bytes := remaining_bytes - unfinished_upload_bytes(owner, existing);
        END IF;
        IF keys[i] <> '' THEN
            IF existing IS NULL THEN
                SELECT o.document_id INTO existing FROM object_deletions AS o
                    WHERE o.user_id = owner AND o.idempotency_key = keys[i] LIMIT 1;
                IF NOT FOUND THEN
                    SELECT g.document_id INTO existing FROM gone_keys AS g
                        WHERE g.user_id = owner AND g.idempotency_key = keys[i];
                END IF;
            ELSIF all_of_one AND existing <> ALL (counted)
                    AND repeated.status IN ('pending', 'expired') THEN
                IF repeated.status = 'expired' AND owner_pending >= max_pending THEN
                    pending := max_pending;
                ELSIF repeated.status = 'pending' OR repeated.size <= remaining_bytes THEN
                    IF repeated.status = 'expired' THEN
                        owner_pending := owner_pending + 1;
                    END IF;
                    requested := requested + repeated.size;
                    counted := counted || existing;
                END IF;
            END IF;
        END IF;
        IF existing IS NULL AND new_sizes[i] <= remaining_bytes THEN
            IF owner_pending >= max_pending THEN
                pending := max_pending;
            ELSE
                INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status,
                        version, created_at, url_issued_at, changed_at, declared_sha256, multipart,
                        idempotency_key, requested_filename)
                    VALUES (new_ids[i], owner, document_object_key(new_ids[i]), new_filenames[i],
                        new_types[i], new_sizes[i], 'pending', 1, now(), now(), now(),
                        nullif(digests[i], ''), multiparts[i], nullif(keys[i], ''),
                        CASE WHEN keys[i] <> '' THEN new_filenames[i] END);
                owner_pending := owner_pending + 1;
                IF all_of_one THEN
                    requested := requested + new_sizes[i];
                    counted := counted || new_ids[i];
                END IF;
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$function$;
GRANT EXECUTE ON FUNCTION
    create_documents(uuid[],bigint,bytea[],uuid[],text[],text[],bigint[],bytea[],boolean[],text[],bigint,boolean)
    TO api;

CREATE FUNCTION current_user_id()
 RETURNS uuid
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
DECLARE
    proof CONSTANT text := current_setting('intray.proof', true);
BEGIN
    IF length(proof) = 144 AND is_proven(left(proof, 36)::uuid, substr(proof, 37, 12)::bigint,
            decode(substr(proof, 49), 'hex')) THEN
        RETURN left(proof, 36)::uuid;
    END IF;
    RETURN NULL;
END
$function$;
GRANT EXECUTE ON FUNCTION current_user_id() TO api, worker;

CREATE FUNCTION current_user_is_admin()
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
    SELECT EXISTS (SELECT FROM users AS u WHERE u.id = (SELECT current_user_id()) AND u.role = 'admin')
$function$;
GRANT EXECUTE ON FUNCTION current_user_is_admin() TO api;

CREATE FUNCTION document_counts(owner uuid, statuses text[], max_count bigint)
 RETURNS TABLE(status text, topic uuid, documents bigint)
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    -- The topics are found by looking up the first document of each.
    RETURN QUERY
        WITH RECURSIVE used (topic) AS (
            (SELECT t.topic_id FROM document_topics AS t WHERE t.user_id = owner
                ORDER BY t.topic_id LIMIT 1)
            UNION ALL
            SELECT (SELECT t.topic_id FROM document_topics AS t
                WHERE t.user_id = owner AND t.topic_id > used.topic ORDER BY t.topic_id LIMIT 1)
            FROM used WHERE used.topic IS NOT NULL
        )
        SELECT s.status, NULL::uuid, n.documents
            FROM unnest(statuses) AS s (status) CROSS JOIN LATERAL (
                SELECT count(*) AS documents FROM (
                    SELECT FROM documents AS d WHERE d.user_id = owner AND d.status = s.status
                    LIMIT max_count) AS d) AS n
        UNION ALL
        SELECT '', used.topic, n.documents
            FROM used CROSS JOIN LATERAL (
                SELECT count(*) AS documents FROM (
                    SELECT FROM document_topics AS t
                    WHERE t.user_id = owner AND t.topic_id = used.topic LIMIT max_count) AS d) AS n
            WHERE used.topic IS NOT NULL
        UNION ALL
        SELECT '', NULL, count(*) FROM (
            SELECT FROM documents AS d
            WHERE d.user_id = owner AND NOT d.has_topics AND d.status <> 'deleting'
            LIMIT max_count) AS d;
END
$function$;
GRANT EXECUTE ON FUNCTION document_counts(uuid,text[],bigint) TO api;

CREATE FUNCTION document_inserted()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    INSERT INTO document_positions (document_id, user_id, filename_key, size)
        VALUES (NEW.id, NEW.user_id, NEW.filename_key, NEW.size);
    RETURN NULL;
END
$function$;

CREATE FUNCTION document_is_consistent(status text, reason text, size bigint, charged_bytes bigint, gone_at timestamp with time zone, version bigint, announcement bigint, object_key text)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
AS $function$
BEGIN
    RETURN object_key <> '' AND size >= 0 AND version >= 1 AND announcement >= 0
        AND (gone_at IS NULL OR status = 'deleting')
        AND CASE status
            WHEN 'pending'     THEN reason = ''
            WHEN 'uploaded'    THEN reason = ''
            WHEN 'classified'  THEN reason = ''
            WHEN 'failed'      THEN reason IN ('encrypted', 'no_text', 'no_ocr', 'broken',
                'unsupported', 'ai_unavailable')
            WHEN 'rejected'    THEN reason IN ('quota_exceeded', 'size_mismatch')
            WHEN 'expired'     THEN reason = ''
            WHEN 'quarantined' THEN reason = 'content_changed'
            WHEN 'deleting'    THEN reason = ''
            ELSE false END
        AND CASE
            WHEN status IN ('uploaded', 'classified', 'failed') THEN charged_bytes = size
            WHEN status = 'deleting' AND gone_at IS NULL THEN charged_bytes IN (0, size)
            ELSE charged_bytes = 0 END;
END
$function$;
GRANT EXECUTE ON FUNCTION document_is_consistent(text,text,bigint,bigint,timestamp with time
    zone,bigint,bigint,text) TO api, worker;

CREATE FUNCTION document_moved()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    UPDATE document_positions SET filename_key = NEW.filename_key, size = NEW.size
        WHERE document_id = NEW.id;
    RETURN NULL;
END
$function$;

CREATE FUNCTION document_object_key(id uuid)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$ SELECT 'documents/' || substr(replace(id::text, '-', ''), 1, 10) || '/' || id::text $function$;
GRANT EXECUTE ON FUNCTION document_object_key(uuid) TO api, worker;

CREATE FUNCTION document_removed()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    DELETE FROM document_positions WHERE document_id = OLD.id;
    RETURN NULL;
END
$function$;

CREATE FUNCTION document_topic_set_manually()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    NEW.set_manually := coalesce(
        (SELECT d.topics_locked FROM documents AS d WHERE d.id = NEW.document_id), false);
    RETURN NEW;
END
$function$;

CREATE FUNCTION document_topics_deleted()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    ids CONSTANT uuid[] := ARRAY(SELECT DISTINCT t.document_id FROM deleted AS t);
BEGIN
    IF cardinality(ids) > 0 THEN
        PERFORM FROM documents AS d WHERE d.id = ANY(ids) ORDER BY d.id FOR NO KEY UPDATE;
        UPDATE documents AS d SET has_topics = false
            WHERE d.id = ANY(ids) AND d.has_topics AND NOT EXISTS (
                SELECT FROM document_topics AS t WHERE t.document_id = d.id OFFSET 0);
    END IF;
    RETURN NULL;
END
$function$;

CREATE FUNCTION document_topics_inserted()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    UPDATE documents SET has_topics = true
        WHERE NOT has_topics AND id = ANY(ARRAY(SELECT t.document_id FROM inserted AS t));
    RETURN NULL;
END
$function$;

CREATE FUNCTION document_view(viewer uuid, expires bigint, mac bytea, document_id uuid, OUT document documents, OUT topics jsonb, OUT duplicate_of uuid, OUT retrying boolean)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    IF NOT is_proven(viewer, expires, mac) THEN
        RAISE EXCEPTION 'the proof of the user is not valid' USING ERRCODE = 'IN403';
    END IF;
    SELECT d.* INTO document FROM documents AS d
        WHERE d.id = document_view.document_id AND d.user_id = viewer AND d.gone_at IS NULL;
    IF NOT FOUND THEN
        PERFORM require_user(viewer);
        document := NULL;
        RETURN;
    END IF;
    IF document.has_topics THEN
        SELECT jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name,
                'scope', CASE WHEN t.user_id IS NULL THEN 'system' ELSE 'user' END,
                'confidence', dt.confidence, 'suggested', t.suggested) ORDER BY lower(t.name), t.id)
            INTO topics
            FROM document_topics AS dt JOIN topics AS t ON t.id = dt.topic_id
            WHERE dt.document_id = document_view.document_id
                AND dt.user_id = viewer AND (t.user_id = viewer OR t.user_id IS NULL);
    END IF;
    IF document.sha256 IS NOT NULL AND document.status IN ('uploaded', 'classified', 'failed') THEN
        duplicate_of := original_document(viewer, document.id, document.sha256);
    END IF;
    retrying := document.status IN ('pending', 'uploaded')
        AND EXISTS (SELECT FROM retrying_documents(viewer, ARRAY[document.id]));
END
$function$;
GRANT EXECUTE ON FUNCTION document_view(uuid,bigint,bytea,uuid) TO api;

CREATE FUNCTION end_session(session_family bytea, client inet)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
DECLARE
    ended uuid;
BEGIN
    DELETE FROM sessions AS s WHERE s.family = session_family RETURNING s.user_id INTO ended;
    IF FOUND THEN
        PERFORM act_as(ended, client);
        PERFORM audit('signed_out', ended, NULL, '{}');
    END IF;
END
$function$;
GRANT EXECUTE ON FUNCTION end_session(bytea,inet) TO auth;

CREATE FUNCTION identity_account(oidc_issuer text, oidc_subject text, new_id uuid, new_email text, new_limit bigint, client inet)
 RETURNS TABLE(outcome text, id uuid, role text)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    RETURN QUERY
        SELECT CASE WHEN u.id IS NULL THEN 'deleted' ELSE 'existing' END, u.id, u.role
        FROM user_identities AS i LEFT JOIN users AS u ON u.id = i.user_id
        WHERE i.issuer = oidc_issuer AND i.subject = oidc_subject;
    IF FOUND THEN
        RETURN;
    END IF;
    IF new_email IS NULL THEN
        RETURN QUERY SELECT 'unknown', NULL::uuid, NULL::text;
        RETURN;
    END IF;
    BEGIN
        PERFORM act_as(new_id, client);
        INSERT INTO users (id, email) VALUES (new_id, new_email);
        INSERT INTO quotas (user_id, limit_bytes) VALUES (new_id, new_limit);
        INSERT INTO user_identities (issuer, subject, user_id)
            VALUES (oidc_issuer, oidc_subject, new_id);
        RETURN QUERY SELECT 'created', u.id, u.role FROM users AS u WHERE u.id = new_id;
    EXCEPTION WHEN unique_violation THEN
        -- A concurrent request created the same user first, or another user has the address.
        RETURN QUERY
            SELECT 'existing', u.id, u.role
            FROM user_identities AS i JOIN users AS u ON u.id = i.user_id
            WHERE i.issuer = oidc_issuer AND i.subject = oidc_subject;
        IF NOT FOUND THEN
            RETURN QUERY SELECT 'email_taken', NULL::uuid, NULL::text;
        END IF;
    END;
END
$function$;
GRANT EXECUTE ON FUNCTION identity_account(text,text,uuid,text,bigint,inet) TO auth;

CREATE FUNCTION is_proven(id uuid, expires bigint, mac bytea)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
AS $function$
DECLARE
    current_key bytea;
    previous_key bytea;
BEGIN
    -- The condition permits an index scan, which a caller that disables sequential scans needs: at
    -- the cost of a disabled scan, PostgreSQL would compile the plan in each call.
    SELECT k.current, k.previous INTO current_key, previous_key
        FROM proof_keys AS k WHERE k.singleton;
    RETURN (to_timestamp(expires) > now()
        AND (mac = sha384(current_key || uuid_send(id) || int8send(expires))
            OR mac = sha384(previous_key || uuid_send(id) || int8send(expires)))) IS TRUE;
END
$function$;

CREATE FUNCTION lock_topics(owner uuid)
 RETURNS void
 LANGUAGE sql
AS $function$
SELECT pg_advisory_xact_lock(hashtext('topics'), hashtext(coalesce(owner::text, '')))
$function$;
GRANT EXECUTE ON FUNCTION lock_topics(uuid) TO api, worker;

CREATE FUNCTION new_proof_key()
 RETURNS bytea
 LANGUAGE sql
AS $function$
    SELECT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
        || uuid_send(gen_random_uuid()))
$function$;

CREATE FUNCTION notify_object_deletions()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$ BEGIN PERFORM pg_notify('object_deletions', ''); RETURN NULL; END $function$;

CREATE FUNCTION original_document(owner uuid, duplicate uuid, digest bytea)
 RETURNS uuid
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    RETURN (SELECT oldest.id FROM (
        SELECT d.id FROM documents AS d
        WHERE d.user_id = owner AND d.sha256 = digest
            AND d.status IN ('uploaded', 'classified', 'failed')
        ORDER BY d.id LIMIT 1) AS oldest
        WHERE oldest.id < duplicate);
END
$function$;
GRANT EXECUTE ON FUNCTION original_document(uuid,uuid,bytea) TO api;

CREATE FUNCTION proof_key()
 RETURNS bytea
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$ SELECT k.current FROM proof_keys AS k WHERE k.singleton $function$;
GRANT EXECUTE ON FUNCTION proof_key() TO auth;

CREATE FUNCTION prune_audit_events(before timestamp with time zone, max_rows integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    pruned integer;
BEGIN
    DELETE FROM audit_events AS e WHERE e.id = ANY(ARRAY(
        SELECT o.id FROM audit_events AS o
        WHERE o.at < least(before, now() - interval '90 days')
        ORDER BY o.at, o.id LIMIT max_rows));
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END
$function$;
GRANT EXECUTE ON FUNCTION prune_audit_events(timestamp with time zone,integer) TO worker;

CREATE FUNCTION record_audit_events(events jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
DECLARE
    event record;
BEGIN
    IF EXISTS (SELECT FROM jsonb_to_recordset(events) AS n (kind text)
            WHERE (n.kind IN ('signed_in', 'download_url_issued', 'sign_in_failed')) IS NOT TRUE) THEN
        RAISE EXCEPTION 'the role may not record an event of this kind'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO audit_events (id, at, kind, actor_id, actor, user_id, account, document_id, address,
            details)
        SELECT n.id, now() - make_interval(secs => n.age), n.kind, n.user_id, u.email, n.user_id,
            u.email, n.document_id, n.address, coalesce(n.details, '{}')
        FROM jsonb_to_recordset(events) AS n (id uuid, kind text, age double precision, user_id uuid,
            document_id uuid, address inet, details jsonb)
        LEFT JOIN LATERAL (SELECT x.email FROM users AS x WHERE x.id = n.user_id OFFSET 0) AS u ON true
        WHERE n.kind <> 'sign_in_failed'
        ON CONFLICT (id) DO NOTHING;
    -- In the same order in each transaction, so that concurrent ones cannot deadlock.
    FOR event IN SELECT date_trunc('minute', now() - make_interval(secs => n.age)) AS minute,
            n.account, n.address, n.count
        FROM jsonb_to_recordset(events) AS n (kind text, age double precision, account text,
            address inet, count bigint)
        WHERE n.kind = 'sign_in_failed' ORDER BY minute, n.account, n.address
    LOOP
        PERFORM add_failed_sign_ins(event.minute, event.account, event.address, event.count);
    END LOOP;
END
$function$;
GRANT EXECUTE ON FUNCTION record_audit_events(jsonb) TO auth;

CREATE FUNCTION record_repair(kind text, details jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    IF (kind IN ('repair_started', 'repair_ended')) IS NOT TRUE THEN
        RAISE EXCEPTION 'the role may not record an event of this kind'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM audit(kind, NULL, NULL, details);
END
$function$;
GRANT EXECUTE ON FUNCTION record_repair(text,jsonb) TO worker;

CREATE FUNCTION refresh_session(session_family bytea, presented_token bytea, new_token bytea, new_nonce bytea, idle_seconds double precision, grace_seconds double precision, client inet)
 RETURNS TABLE(outcome text, session uuid, user_id uuid, role text, nonce bytea)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
DECLARE
    s      sessions;
    result text;
BEGIN
    SELECT x.* INTO s FROM sessions AS x WHERE x.family = session_family FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF now() > s.expires_at OR now() > s.rotated_at + make_interval(secs => idle_seconds) THEN
        result := 'expired';
    ELSIF presented_token = s.token THEN
        UPDATE sessions AS x
            SET token = new_token, previous = s.token, nonce = new_nonce, rotated_at = now()
            WHERE x.id = s.id;
        s.nonce := new_nonce;
        result := 'rotated';
    ELSIF presented_token = s.previous
            AND now() <= s.rotated_at + make_interval(secs => grace_seconds) THEN
        result := 'repeated';
    ELSE
        result := 'reused';
        -- Who presents it may be the user or a thief, so the event has no actor.
        PERFORM act_as(NULL, client);
        PERFORM audit('refresh_token_reused', s.user_id, NULL, '{}');
    END IF;
    IF result IN ('expired', 'reused') THEN
        DELETE FROM sessions AS x WHERE x.id = s.id;
    END IF;
    RETURN QUERY SELECT result, s.id, u.id, u.role, s.nonce FROM users AS u WHERE u.id = s.user_id;
END
$function$;
GRANT EXECUTE ON FUNCTION refresh_session(bytea,bytea,bytea,bytea,double precision,double
    precision,inet) TO auth;

CREATE FUNCTION remove_topic_from_documents(topic uuid, max_rows integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    ids uuid[];
BEGIN
    IF NOT EXISTS (SELECT FROM topics AS t WHERE t.id = topic AND (t.user_id = current_user_id()
            OR t.user_id IS NULL AND current_user_is_admin())) THEN
        RETURN 0;
    END IF;
    ids := ARRAY(SELECT dt.document_id FROM document_topics AS dt WHERE dt.topic_id = topic
        ORDER BY dt.document_id DESC LIMIT max_rows);
    PERFORM FROM documents AS d WHERE d.id = ANY(ids) ORDER BY d.id FOR NO KEY UPDATE;
    DELETE FROM document_topics AS dt WHERE dt.topic_id = topic AND dt.document_id = ANY(ids);
    RETURN cardinality(ids);
END
$function$;
GRANT EXECUTE ON FUNCTION remove_topic_from_documents(uuid,integer) TO api;

CREATE FUNCTION require_admin()
 RETURNS void
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    IF NOT current_user_is_admin() THEN
        RAISE EXCEPTION 'the current user is not an administrator'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$function$;

CREATE FUNCTION require_user(id uuid)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF NOT EXISTS (SELECT FROM users AS u WHERE u.id = require_user.id) THEN
        RAISE EXCEPTION 'the user does not exist' USING ERRCODE = 'IN401';
    END IF;
END
$function$;

CREATE FUNCTION retrying_documents(ids uuid[])
 RETURNS SETOF uuid
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$ BEGIN RETURN QUERY SELECT r FROM retrying_documents(current_user_id(), ids) AS r; END $function$;
GRANT EXECUTE ON FUNCTION retrying_documents(uuid[]) TO api;

CREATE FUNCTION retrying_documents(owner uuid, ids uuid[])
 RETURNS SETOF uuid
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    RETURN QUERY
        SELECT d.id FROM unnest(ids) AS n (id)
        -- OFFSET 0 makes the planner look the document up by its id. With statistics from before a
        -- burst, it could read all the owner's documents with the statuses instead.
        CROSS JOIN LATERAL (
            SELECT x.id, x.user_id, x.status, x.changed_at FROM documents AS x
            WHERE x.id = n.id OFFSET 0) AS d
        CROSS JOIN LATERAL (
            SELECT a.attempt, a.next_at, a.reason FROM document_attempts AS a
            WHERE a.document_id = d.id AND a.at >= d.changed_at
            ORDER BY a.at DESC LIMIT 1) AS last
        WHERE d.user_id = owner AND d.status IN ('pending', 'uploaded')
            AND last.next_at IS NOT NULL AND last.reason <> 'classification is in progress'
            AND (last.attempt > 0 OR last.next_at > now());
END
$function$;

CREATE FUNCTION rotate_proof_key()
 RETURNS void
 LANGUAGE sql
AS $function$
    UPDATE proof_keys SET current = new_proof_key(), previous = current, rotated_at = now()
        WHERE singleton
$function$;

CREATE FUNCTION set_current_user(id uuid, expires bigint, mac bytea)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
DECLARE
    user_role text;
BEGIN
    IF NOT is_proven(id, expires, mac) THEN
        RAISE EXCEPTION 'the proof of the user is not valid' USING ERRCODE = 'IN403';
    END IF;
    SELECT u.role INTO user_role FROM users AS u WHERE u.id = set_current_user.id;
    PERFORM set_config('intray.proof', CASE WHEN user_role IS NULL THEN ''
        ELSE id::text || lpad(expires::text, 12, '0') || encode(mac, 'hex') END, true);
    RETURN user_role;
END
$function$;
GRANT EXECUTE ON FUNCTION set_current_user(uuid,bigint,bytea) TO api;

CREATE FUNCTION start_session(new_id uuid, target uuid, verified_hash text, new_family bytea, new_token bytea, ttl_seconds double precision, client inet)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    PERFORM FROM users AS u WHERE u.id = target AND u.password_hash = verified_hash
        FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM sessions AS s WHERE s.user_id = target AND (s.expires_at < now() OR s.id IN (
        SELECT o.id FROM sessions AS o WHERE o.user_id = target
            ORDER BY o.rotated_at DESC OFFSET 99));
    INSERT INTO sessions (id, user_id, family, token, expires_at)
    VALUES (new_id, target, new_family, new_token, now() + make_interval(secs => ttl_seconds));
    PERFORM act_as(target, client);
    PERFORM audit('signed_in', target, NULL, '{}');
    RETURN true;
END
$function$;
GRANT EXECUTE ON FUNCTION start_session(uuid,uuid,text,bytea,bytea,double precision,inet) TO auth;

CREATE FUNCTION unfinished_upload_bytes(owner uuid, without uuid)
 RETURNS bigint
 LANGUAGE sql
 STABLE
 SET enable_seqscan TO 'off'
AS $function$
    SELECT coalesce(sum(u.size), 0)
    FROM (
            SELECT m.document_id, m.object_key, m.size FROM multipart_uploads AS m
            WHERE m.user_id = owner ORDER BY m.document_id LIMIT 10000) AS u
        LEFT JOIN LATERAL (
            SELECT d.status FROM documents AS d WHERE d.object_key = u.object_key OFFSET 0
        ) AS d ON true
    WHERE u.document_id IS DISTINCT FROM without
        AND coalesce(d.status, '') NOT IN ('uploaded', 'classified', 'failed')
$function$;
GRANT EXECUTE ON FUNCTION unfinished_upload_bytes(uuid,uuid) TO api;

CREATE FUNCTION user_password_hash(target uuid)
 RETURNS text
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$ SELECT coalesce(u.password_hash, '') FROM users AS u WHERE u.id = target $function$;
GRANT EXECUTE ON FUNCTION user_password_hash(uuid) TO auth;

