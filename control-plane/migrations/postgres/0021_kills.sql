-- Stops, each with an id of its own. They are written with the change that stops.
CREATE TABLE kills (
    id BYTEA PRIMARY KEY CHECK (length(id) = 16),
    -- Its event.
    event BIGINT NOT NULL UNIQUE REFERENCES events (sequence),
    epoch BIGINT NOT NULL,
    revision BIGINT NOT NULL UNIQUE,
    at_us BIGINT NOT NULL,
    act TEXT NOT NULL,
    subject TEXT NOT NULL,
    actor TEXT NOT NULL,
    role TEXT,
    address TEXT,
    reason TEXT,
    incident_id TEXT,
    in_flight TEXT NOT NULL CHECK (in_flight IN ('abort', 'drain'))
);
CREATE INDEX kills_by_subject ON kills (subject, event);
CREATE INDEX kills_by_incident ON kills (incident_id, event) WHERE incident_id IS NOT NULL;

CREATE TRIGGER kills_stay BEFORE UPDATE OR DELETE ON kills
FOR EACH ROW EXECUTE FUNCTION kya_refuse('kills stay as they were');
CREATE TRIGGER kills_are_not_truncated BEFORE TRUNCATE ON kills
FOR EACH STATEMENT EXECUTE FUNCTION kya_refuse('kills stay as they were');

-- How far kills are, beside the trail: which of their rows are in it, what workers have
-- applied, and which requests in flight that concerned. All of it is what the trail says.

CREATE TABLE audit_kills (
    kill_id TEXT COLLATE "C" PRIMARY KEY,
    -- The records of its rows.
    activated_seq BIGINT NOT NULL UNIQUE,
    scope_seq BIGINT UNIQUE,
    completed_seq BIGINT UNIQUE,
    -- The state from which on it counts.
    epoch BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    at_us BIGINT NOT NULL
);
CREATE INDEX audit_kills_that_are_open ON audit_kills (activated_seq) WHERE completed_seq IS NULL;

-- The states that workers have applied, of those that may stop somebody.
CREATE TABLE audit_applied (
    source BIGINT NOT NULL REFERENCES audit_sources (id),
    -- Number of the event.
    number BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    -- By the proxy's clock.
    at_us BIGINT NOT NULL,
    recorded_us BIGINT NOT NULL,
    in_flight BIGINT NOT NULL,
    untracked BIGINT NOT NULL,
    PRIMARY KEY (source, number)
);
CREATE INDEX audit_applied_by_state ON audit_applied (source, epoch, revision, number);

-- Requests in flight that such a state concerns. Those of a worker that was lost are of
-- the state 0, and end so.
CREATE TABLE audit_concerned (
    source BIGINT NOT NULL REFERENCES audit_sources (id),
    -- Number of the decision.
    number BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    ending TEXT COLLATE "C" NOT NULL CHECK (ending IN ('abort', 'drain', 'lost')),
    agent_id TEXT COLLATE "C",
    seq BIGINT NOT NULL,
    disposition TEXT COLLATE "C" CHECK (disposition IN ('committed', 'rolled_back', 'escalated')),
    ended_seq BIGINT,
    PRIMARY KEY (source, number, epoch, revision)
);
CREATE INDEX audit_concerned_that_go_on ON audit_concerned (source, number)
WHERE disposition IS NULL;

-- Which records a worker was there at: after `first_seq`, and until `ended_seq`.
ALTER TABLE audit_sources ADD COLUMN first_seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE audit_sources ADD COLUMN ended_seq BIGINT;

CREATE FUNCTION kya_rows_of_kills_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.scope_seq IS NOT NULL AND NEW.scope_seq IS DISTINCT FROM OLD.scope_seq
       OR OLD.completed_seq IS NOT NULL AND NEW.completed_seq IS DISTINCT FROM OLD.completed_seq
    THEN
        RAISE EXCEPTION 'each row of a kill is written once';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_rows_of_kills_stay BEFORE UPDATE ON audit_kills
FOR EACH ROW EXECUTE FUNCTION kya_rows_of_kills_stay();
