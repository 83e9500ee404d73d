-- Machines that host sandboxes, sandboxes, snapshots.

CREATE TABLE sandbox_hosts (
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

-- What machines become with a join token.
ALTER TABLE join_tokens ADD COLUMN role TEXT NOT NULL DEFAULT 'runner'
    CHECK (role IN ('runner', 'sandbox_host'));

CREATE TABLE sandboxes (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    host_id TEXT NOT NULL REFERENCES sandbox_hosts (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    -- Deleted: to be removed from its host; the row goes when that is done.
    state TEXT NOT NULL
        CHECK (state IN ('creating', 'running', 'paused', 'stopped', 'failed', 'deleted')),
    phase TEXT,
    -- JSON of why it stopped or failed.
    ending TEXT,
    -- JSON of what it was made with; the name and the policy there may be old.
    spec TEXT NOT NULL,
    -- JSON.
    egress TEXT NOT NULL,
    -- The limits once more, to be summed up.
    cpu_millis BIGINT NOT NULL,
    memory_bytes BIGINT NOT NULL,
    disk_bytes BIGINT NOT NULL,
    -- 1 once its host said that it has it.
    made BIGINT NOT NULL,
    -- 1 when it was given up before its host said that it has it: the host is to
    -- keep nothing of it.
    abandoned BIGINT NOT NULL,
    -- Until when it may be creating.
    deadline_at_ms BIGINT,
    created_at_ms BIGINT NOT NULL,
    used_at_ms BIGINT NOT NULL
);
CREATE INDEX sandboxes_by_user ON sandboxes (user_id, id);
CREATE INDEX sandboxes_by_host ON sandboxes (host_id, id);

CREATE TABLE snapshots (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    host_id TEXT NOT NULL REFERENCES sandbox_hosts (id) ON DELETE CASCADE,
    -- The sandbox may be gone by now.
    sandbox_id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- JSON of what the sandbox was made with.
    spec TEXT NOT NULL,
    -- Absent while it is being taken.
    size_bytes BIGINT,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX snapshots_by_user ON snapshots (user_id, id);
CREATE INDEX snapshots_by_host ON snapshots (host_id, id);
