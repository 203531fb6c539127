-- Times are microseconds since 1970 (`_us`) or whole seconds (`_s`). Ids are
-- the 16 bytes of their ULID, which sort as their written form does.

-- The newest committed position. One row.
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL,
    revision INTEGER NOT NULL CHECK (revision >= 0),
    committed_us INTEGER NOT NULL
) STRICT;

CREATE TABLE agents (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    name TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'revoked')),
    public_key TEXT,
    created_us INTEGER NOT NULL,
    revoked_us INTEGER,
    status_changed_us INTEGER NOT NULL,
    status_reason TEXT,
    incident_id TEXT,
    revision INTEGER NOT NULL,
    CHECK ((status = 'revoked') = (revoked_us IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- The token itself is nowhere: `digest` is its SHA-256.
CREATE TABLE tokens (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    agent_id BLOB NOT NULL REFERENCES agents (id),
    issued_us INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    revoked_us INTEGER,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_agent ON tokens (agent_id, id);
CREATE INDEX tokens_by_expiry ON tokens (expires_s);

-- What each revision changed: an encoded `Delta` of the protocol.
CREATE TABLE updates (
    revision INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    committed_us INTEGER NOT NULL,
    delta BLOB NOT NULL
) STRICT;

-- Who did what to whom, and why.
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    epoch INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    reason TEXT,
    incident_id TEXT
) STRICT;

-- The database itself refuses what must never happen, whoever asks.
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
-- INSERT OR REPLACE deletes without firing the trigger above.
CREATE TRIGGER events_are_not_replaced BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE sequence = NEW.sequence)
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER updates_are_not_changed BEFORE UPDATE ON updates
BEGIN SELECT RAISE(ABORT, 'updates are append-only'); END;
CREATE TRIGGER updates_are_gapless BEFORE INSERT ON updates
WHEN NEW.revision <> (SELECT revision + 1 FROM head)
BEGIN SELECT RAISE(ABORT, 'the revision of an update follows the head'); END;
CREATE TRIGGER revocation_is_final BEFORE UPDATE OF status ON agents
WHEN OLD.status = 'revoked' AND NEW.status <> 'revoked'
BEGIN SELECT RAISE(ABORT, 'revocation is final'); END;
CREATE TRIGGER token_revocation_is_final BEFORE UPDATE OF revoked_us ON tokens
WHEN OLD.revoked_us IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'revocation is final'); END;
