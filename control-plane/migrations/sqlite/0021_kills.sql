-- Stops, each with an id of its own. They are written with the change that stops.
CREATE TABLE kills (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    -- Its event.
    event INTEGER NOT NULL UNIQUE REFERENCES events (sequence),
    epoch INTEGER NOT NULL,
    revision INTEGER NOT NULL UNIQUE,
    at_us INTEGER NOT NULL,
    act TEXT NOT NULL,
    subject TEXT NOT NULL,
    actor TEXT NOT NULL,
    role TEXT,
    address TEXT,
    reason TEXT,
    incident_id TEXT,
    in_flight TEXT NOT NULL CHECK (in_flight IN ('abort', 'drain'))
) STRICT;
CREATE INDEX kills_by_subject ON kills (subject, event);
CREATE INDEX kills_by_incident ON kills (incident_id, event) WHERE incident_id IS NOT NULL;

CREATE TRIGGER kills_are_not_changed BEFORE UPDATE ON kills
BEGIN SELECT RAISE(ABORT, 'kills stay as they were'); END;
CREATE TRIGGER kills_are_not_deleted BEFORE DELETE ON kills
BEGIN SELECT RAISE(ABORT, 'kills stay as they were'); END;
CREATE TRIGGER kills_are_not_replaced BEFORE INSERT ON kills
WHEN EXISTS (SELECT 1 FROM kills
             WHERE id = NEW.id OR event = NEW.event OR revision = NEW.revision)
BEGIN SELECT RAISE(ABORT, 'kills stay as they were'); END;
