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
