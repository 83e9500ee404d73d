-- What opens a server in a sandbox at an origin of its own, for one browser: a token for
-- one use, and then a cookie. It ends with the sign-in behind it, and with the sandbox.
CREATE TABLE port_passes (
    -- SHA-256 of the token or the cookie, in hexadecimal.
    token_hash TEXT NOT NULL PRIMARY KEY,
    -- SHA-256 of what the browser that may use the token has; absent for a cookie.
    state_hash TEXT,
    sign_in_hash TEXT NOT NULL REFERENCES sign_ins (token_hash) ON DELETE CASCADE,
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE,
    port BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL
);
CREATE INDEX port_passes_by_sign_in ON port_passes (sign_in_hash, created_at_ms);
CREATE INDEX port_passes_by_sandbox ON port_passes (sandbox_id);
CREATE INDEX port_passes_by_expiry ON port_passes (expires_at_ms);
