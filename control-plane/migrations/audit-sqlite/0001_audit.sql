-- The audit trail, in a database of its own: appending to it holds no change of the
-- registry up. Times are microseconds since 1970 (`_us`). docs/audit.md says what a
-- record is and how it is verified.

-- Where the trail ends. One row.
CREATE TABLE audit_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- What its checkpoints are of.
    origin TEXT NOT NULL,
    -- Number of the last record.
    size INTEGER NOT NULL CHECK (size >= 0),
    -- Its hash in the chain.
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    -- The tiles of the tree that are not full, from the lowest level up.
    edge BLOB NOT NULL,
    recorded_us INTEGER NOT NULL,
    -- The last of the registry's events that is in the trail.
    event INTEGER NOT NULL,
    event_epoch INTEGER NOT NULL,
    event_us INTEGER NOT NULL,
    -- The newest checkpoint.
    checkpoint_size INTEGER NOT NULL,
    checkpoint_us INTEGER NOT NULL
) STRICT;

CREATE TABLE audit_records (
    seq INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    recorded_us INTEGER NOT NULL,
    agent_id TEXT,
    action TEXT,
    decision TEXT,
    act TEXT,
    kill_id TEXT,
    -- Canonical JSON (RFC 8785), exactly as it is hashed.
    record TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX audit_records_by_agent ON audit_records (agent_id, seq) WHERE agent_id IS NOT NULL;
CREATE INDEX audit_records_by_kill ON audit_records (kill_id, seq) WHERE kill_id IS NOT NULL;
CREATE INDEX audit_records_by_act ON audit_records (act, seq) WHERE act IS NOT NULL;

-- Full tiles of the tree over the records (C2SP tlog-tiles): 256 hashes each.
CREATE TABLE audit_tiles (
    level INTEGER NOT NULL,
    tile INTEGER NOT NULL,
    hashes BLOB NOT NULL CHECK (length(hashes) = 8192),
    PRIMARY KEY (level, tile)
) STRICT, WITHOUT ROWID;

-- How far each worker's reports are in the trail.
CREATE TABLE audit_sources (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node_id TEXT NOT NULL,
    instance INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    -- Number of the event that is expected.
    next INTEGER NOT NULL CHECK (next >= 1),
    -- When it was last known to be there.
    seen_us INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('alive', 'lost', 'closed')),
    -- Requests that went on and of whose end nothing was reported.
    unended INTEGER NOT NULL,
    UNIQUE (node_id, instance)
) STRICT;
CREATE INDEX audit_sources_by_seen ON audit_sources (seen_us) WHERE state = 'alive';

-- Requests that went on and of whose end nothing was reported, with whose they are.
CREATE TABLE audit_unended (
    source INTEGER NOT NULL REFERENCES audit_sources (id),
    number INTEGER NOT NULL,
    agent_id TEXT,
    PRIMARY KEY (source, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_checkpoints (
    size INTEGER PRIMARY KEY,
    signed_us INTEGER NOT NULL,
    -- A signed note (C2SP signed-note).
    note TEXT NOT NULL
) STRICT;

-- The keys that sign checkpoints, each with the record that named it.
CREATE TABLE audit_keys (
    seq INTEGER PRIMARY KEY,
    verifier_key TEXT NOT NULL UNIQUE
) STRICT;

-- What was exported as sealed segments. `seq` is the record that says so.
CREATE TABLE audit_archives (
    seq INTEGER PRIMARY KEY,
    first INTEGER NOT NULL UNIQUE,
    last INTEGER NOT NULL CHECK (last >= first),
    sha256 TEXT NOT NULL
) STRICT;

-- Records that stay though they are archived: those that name keys and archives, and those
-- whose hashes are needed to show them, or what comes after an archive, in the chain.
CREATE VIEW audit_kept AS
SELECT seq FROM audit_keys UNION SELECT seq - 1 FROM audit_keys
UNION SELECT seq FROM audit_archives UNION SELECT seq - 1 FROM audit_archives
UNION SELECT last FROM audit_archives;

-- The database itself refuses what must never happen, whoever asks.
CREATE TRIGGER audit_head_stays BEFORE DELETE ON audit_head
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_head_is_not_replaced BEFORE INSERT ON audit_head
WHEN EXISTS (SELECT 1 FROM audit_head)
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_head_goes_on BEFORE UPDATE ON audit_head
WHEN NEW.size < OLD.size OR NEW.origin <> OLD.origin
     OR (NEW.size = OLD.size AND (NEW.hash <> OLD.hash OR NEW.edge <> OLD.edge))
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_records_are_not_changed BEFORE UPDATE ON audit_records
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_records_are_not_deleted BEFORE DELETE ON audit_records
WHEN OLD.seq > (SELECT coalesce(max(last), 0) FROM audit_archives)
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
-- INSERT OR REPLACE deletes without firing the trigger above.
CREATE TRIGGER audit_records_are_appended BEFORE INSERT ON audit_records
WHEN NEW.seq <= (SELECT size FROM audit_head)
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_tiles_are_not_changed BEFORE UPDATE ON audit_tiles
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_tiles_are_not_deleted BEFORE DELETE ON audit_tiles
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_tiles_are_not_replaced BEFORE INSERT ON audit_tiles
WHEN EXISTS (SELECT 1 FROM audit_tiles WHERE level = NEW.level AND tile = NEW.tile)
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_checkpoints_are_not_changed BEFORE UPDATE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_checkpoints_are_not_deleted BEFORE DELETE ON audit_checkpoints
WHEN OLD.size > (SELECT coalesce(max(last), 0) FROM audit_archives)
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_checkpoints_are_not_replaced BEFORE INSERT ON audit_checkpoints
WHEN EXISTS (SELECT 1 FROM audit_checkpoints WHERE size = NEW.size)
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_sources_go_on BEFORE UPDATE ON audit_sources
WHEN NEW.next < OLD.next OR NEW.node_id <> OLD.node_id OR NEW.instance <> OLD.instance
BEGIN SELECT RAISE(ABORT, 'what a worker has reported stays reported'); END;
CREATE TRIGGER audit_keys_are_not_changed BEFORE UPDATE ON audit_keys
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_keys_are_not_deleted BEFORE DELETE ON audit_keys
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_keys_are_not_replaced BEFORE INSERT ON audit_keys
WHEN EXISTS (SELECT 1 FROM audit_keys WHERE seq = NEW.seq OR verifier_key = NEW.verifier_key)
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_archives_are_not_changed BEFORE UPDATE ON audit_archives
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_archives_are_not_deleted BEFORE DELETE ON audit_archives
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
-- Only what a record of the trail says is archived.
CREATE TRIGGER audit_archives_are_in_the_trail BEFORE INSERT ON audit_archives
WHEN EXISTS (SELECT 1 FROM audit_archives WHERE seq = NEW.seq)
     OR NEW.last >= NEW.seq
     OR NOT EXISTS (SELECT 1 FROM audit_records WHERE seq = NEW.seq AND type = 'archived')
BEGIN SELECT RAISE(ABORT, 'only what a record says is archived'); END;
