-- Agents that work in sandboxes: the catalogue, and sessions with one.

CREATE TABLE agents (
    name TEXT NOT NULL PRIMARY KEY,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    model_api TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    -- JSON of command, installation and environment.
    program TEXT NOT NULL,
    -- 1 for what comes with the control plane.
    built_in BIGINT NOT NULL,
    -- 1 once an administrator changed it: an update of the control plane leaves it alone.
    changed BIGINT NOT NULL
);

-- What a session with an agent has besides its log. The columns from thread_id on are the state
-- of the conversation (helix_agent::control::Saved), with the tables below.
CREATE TABLE session_agents (
    session_id TEXT NOT NULL PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    -- Its name in the catalogue, and its title there when the session began; it may be gone.
    agent TEXT NOT NULL,
    title TEXT NOT NULL,
    -- The sandbox, and the host that it is on; both may be gone.
    sandbox_id TEXT NOT NULL,
    host_id TEXT NOT NULL,
    directory TEXT NOT NULL,
    -- 1 when the sandbox was made for the session.
    owns_sandbox BIGINT NOT NULL,
    -- JSON of the repository to begin with.
    repository TEXT,
    thread_id TEXT UNIQUE,
    -- The last command that the host has stored, and the last event that is stored here.
    accepted BIGINT NOT NULL,
    acknowledged BIGINT NOT NULL,
    -- The agent's own id of its session.
    agent_session TEXT,
    -- Why the queue waits for somebody.
    held TEXT,
    closed BIGINT NOT NULL,
    -- Where the agent's process is, as its host last said.
    phase TEXT
);
CREATE INDEX session_agents_by_sandbox ON session_agents (sandbox_id);
CREATE INDEX session_agents_by_host ON session_agents (host_id);

-- Prompts, each by the id of the turn that it becomes, which is unique for ever.
CREATE TABLE agent_turns (
    id TEXT NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    state TEXT NOT NULL CHECK (state IN ('queued', 'in_flight', 'over')),
    -- How many are before it, while it is queued.
    position BIGINT,
    -- JSON of the prompt, while it is queued.
    prompt TEXT,
    -- JSON of the turn, while it is in flight.
    turn TEXT,
    -- The prompt's texts in lower case, for search.
    search_text TEXT NOT NULL,
    idempotency_key TEXT
);
CREATE INDEX agent_turns_by_session ON agent_turns (session_id, state);
-- The invariant of the conversation, held by the database.
CREATE UNIQUE INDEX one_agent_turn_in_flight ON agent_turns (session_id) WHERE state = 'in_flight';
CREATE UNIQUE INDEX agent_turns_by_idempotency_key ON agent_turns (session_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- Commands of the thread that its host has not stored yet.
CREATE TABLE agent_commands (
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    -- JSON; of one that opens the thread without the agent's environment.
    command TEXT NOT NULL,
    PRIMARY KEY (session_id, number)
);

-- The environment of a thread's agent, which may hold secrets, until its host has stored it.
CREATE TABLE agent_environments (
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    thread_id TEXT NOT NULL,
    -- JSON, sealed.
    sealed TEXT NOT NULL,
    PRIMARY KEY (session_id, thread_id)
);

-- Requests of the thread for a permission that are open.
CREATE TABLE agent_permissions (
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    request BIGINT NOT NULL,
    -- JSON list of the options' ids.
    options TEXT NOT NULL,
    ends_at_ms BIGINT NOT NULL,
    PRIMARY KEY (session_id, request)
);
