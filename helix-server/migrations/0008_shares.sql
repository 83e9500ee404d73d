-- Sessions that others see or drive, too.
CREATE TABLE session_shares (
    id TEXT NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    -- Whom it names; absent for a link.
    named_user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    -- SHA-256 of the link's token, in hexadecimal.
    token_hash TEXT UNIQUE,
    -- 1 for driving, 0 for reading.
    drives BIGINT NOT NULL,
    expires_at_ms BIGINT,
    created_at_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX one_share_with_a_user ON session_shares (session_id, named_user_id)
    WHERE named_user_id IS NOT NULL;
CREATE INDEX session_shares_by_session ON session_shares (session_id);

-- Whom shares are with: the one that is named, or those who took the link.
CREATE TABLE session_share_people (
    share_id TEXT NOT NULL REFERENCES session_shares (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    joined_at_ms BIGINT NOT NULL,
    PRIMARY KEY (share_id, user_id)
);
CREATE INDEX session_share_people_by_user ON session_share_people (user_id);
