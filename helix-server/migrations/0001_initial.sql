-- One schema for SQLite and PostgreSQL: ids and JSON are TEXT, times are
-- milliseconds since the Unix epoch in BIGINT, flags are BIGINT 0 or 1.

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    -- Lower case.
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('member', 'admin')),
    password_hash TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);

-- Browsers that are signed in.
CREATE TABLE sign_ins (
    -- SHA-256 of the cookie, in hexadecimal; so are all hashes below.
    token_hash TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL
);
CREATE INDEX sign_ins_by_user ON sign_ins (user_id);
CREATE INDEX sign_ins_by_expiry ON sign_ins (expires_at_ms);

-- The set-up link (no user yet) and sign-in links.
CREATE TABLE one_time_links (
    token_hash TEXT NOT NULL PRIMARY KEY,
    -- Absent: makes the first admin.
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    expires_at_ms BIGINT NOT NULL
);

CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    hint TEXT NOT NULL,
    secret_hash TEXT NOT NULL UNIQUE,
    -- A JSON list.
    scopes TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    last_used_at_ms BIGINT,
    expires_at_ms BIGINT
);
CREATE INDEX api_keys_by_user ON api_keys (user_id);

CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    -- 0 until the first message or a person gave it a title.
    titled BIGINT NOT NULL,
    -- The title in lower case, for search.
    search_title TEXT NOT NULL,
    model TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    last_seq BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id, updated_at_ms, id);

CREATE TABLE turns (
    id TEXT NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    -- 1 for the first turn of the session; replaced turns keep theirs.
    position BIGINT NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('queued', 'running', 'completed', 'cancelled', 'failed')),
    -- 1 when the turn gave way to another.
    replaced BIGINT NOT NULL,
    user_content TEXT NOT NULL,
    -- Empty until the turn ended: until then the answer is the log's deltas.
    assistant_content TEXT NOT NULL,
    -- Question and answer in lower case, for search.
    search_text TEXT NOT NULL,
    model TEXT NOT NULL,
    error TEXT,
    waiting_for TEXT,
    prompt_tokens BIGINT,
    completion_tokens BIGINT,
    idempotency_key TEXT,
    -- The event that began the turn.
    started_seq BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    ended_at_ms BIGINT,
    UNIQUE (session_id, position)
);
-- The invariant of the turn machine, held by the database.
CREATE UNIQUE INDEX one_turn_in_flight ON turns (session_id)
    WHERE state IN ('queued', 'running');
CREATE UNIQUE INDEX turns_by_idempotency_key ON turns (session_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- The append-only log of each session.
CREATE TABLE session_events (
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    -- JSON of the event without seq and time.
    body TEXT NOT NULL,
    PRIMARY KEY (session_id, seq)
);

CREATE TABLE models (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    engine TEXT NOT NULL,
    -- JSON.
    source TEXT NOT NULL,
    -- JSON.
    settings TEXT NOT NULL,
    is_default BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX one_default_model ON models (is_default) WHERE is_default = 1;

-- What the scheduler learned about a model's need on each device.
CREATE TABLE model_memory (
    model_id TEXT NOT NULL REFERENCES models (id) ON DELETE CASCADE,
    -- Changes with everything that the need depends on.
    memory_key TEXT NOT NULL,
    -- Devices on which the need is the same.
    device_class TEXT NOT NULL,
    -- JSON.
    need TEXT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    PRIMARY KEY (model_id, memory_key, device_class)
);

-- What a runner read from the header of a model's weights.
CREATE TABLE model_estimates (
    model_id TEXT NOT NULL REFERENCES models (id) ON DELETE CASCADE,
    memory_key TEXT NOT NULL,
    -- Absent: nothing can be known before a start.
    bytes_per_device BIGINT,
    updated_at_ms BIGINT NOT NULL,
    PRIMARY KEY (model_id, memory_key)
);

CREATE TABLE runners (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    credential_hash TEXT NOT NULL UNIQUE,
    -- 1 when a person told it to take nothing new.
    draining BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    last_seen_at_ms BIGINT,
    -- JSON of what it last said about itself.
    info TEXT
);

CREATE TABLE join_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    secret_hash TEXT NOT NULL UNIQUE,
    uses BIGINT NOT NULL,
    max_uses BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL
);
