-- How far kills are, beside the trail: which of their rows are in it, what workers have
-- applied, and which requests in flight that concerned. All of it is what the trail says.

CREATE TABLE audit_kills (
    kill_id TEXT PRIMARY KEY,
    -- The records of its rows.
    activated_seq INTEGER NOT NULL UNIQUE,
    scope_seq INTEGER UNIQUE,
    completed_seq INTEGER UNIQUE,
    -- The state from which on it counts.
    epoch INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    at_us INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_kills_that_are_open ON audit_kills (activated_seq) WHERE completed_seq IS NULL;

-- The states that workers have applied, of those that may stop somebody.
CREATE TABLE audit_applied (
    source INTEGER NOT NULL REFERENCES audit_sources (id),
    -- Number of the event.
    number INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    -- By the proxy's clock.
    at_us INTEGER NOT NULL,
    recorded_us INTEGER NOT NULL,
    in_flight INTEGER NOT NULL,
    untracked INTEGER NOT NULL,
    PRIMARY KEY (source, number)
) STRICT;
CREATE INDEX audit_applied_by_state ON audit_applied (source, epoch, revision, number);

-- Requests in flight that such a state concerns. Those of a worker that was lost are of
-- the state 0, and end so.
CREATE TABLE audit_concerned (
    source INTEGER NOT NULL REFERENCES audit_sources (id),
    -- Number of the decision.
    number INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    ending TEXT NOT NULL CHECK (ending IN ('abort', 'drain', 'lost')),
    agent_id TEXT,
    seq INTEGER NOT NULL,
    disposition TEXT CHECK (disposition IN ('committed', 'rolled_back', 'escalated')),
    ended_seq INTEGER,
    PRIMARY KEY (source, number, epoch, revision)
) STRICT;
CREATE INDEX audit_concerned_that_go_on ON audit_concerned (source, number)
WHERE disposition IS NULL;

-- Which records a worker was there at: after `first_seq`, and until `ended_seq`.
ALTER TABLE audit_sources ADD COLUMN first_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit_sources ADD COLUMN ended_seq INTEGER;

CREATE TRIGGER audit_rows_of_kills_stay BEFORE UPDATE ON audit_kills
WHEN OLD.scope_seq IS NOT NULL AND NEW.scope_seq IS NOT OLD.scope_seq
     OR OLD.completed_seq IS NOT NULL AND NEW.completed_seq IS NOT OLD.completed_seq
BEGIN SELECT RAISE(ABORT, 'each row of a kill is written once'); END;
