-- The keys that secrets of this database are sealed with, each proven by a text that only
-- it opens. The latest seals; the earlier ones are there until everything is sealed anew.
CREATE TABLE seal_keys (
    generation BIGINT NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL UNIQUE,
    proof TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);

-- Users' secrets: what git servers and providers know them by.
CREATE TABLE user_secrets (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    -- JSON of what it is for.
    kind TEXT NOT NULL,
    -- The value, sealed.
    sealed TEXT NOT NULL,
    -- What tells it apart from others.
    hint TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, name)
);

-- Which of its user's secrets a sandbox is given.
CREATE TABLE sandbox_secrets (
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (sandbox_id, name),
    FOREIGN KEY (user_id, name) REFERENCES user_secrets (user_id, name) ON DELETE CASCADE
);
CREATE INDEX sandbox_secrets_by_secret ON sandbox_secrets (user_id, name);
