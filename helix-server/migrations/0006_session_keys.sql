-- What an agent's own calls to models come with: one key of its session, which ends with it.
CREATE TABLE session_keys (
    session_id TEXT NOT NULL PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    -- SHA-256 of the key, in hexadecimal.
    secret_hash TEXT NOT NULL UNIQUE,
    created_at_ms BIGINT NOT NULL
);

-- What was asked of models with the keys of a session, those that ended included.
CREATE TABLE session_model_usage (
    session_id TEXT NOT NULL PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    requests BIGINT NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL
);
