-- Who delegates to agents.
CREATE TABLE principals (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 254),
    created_us INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'revoked')),
    in_flight TEXT NOT NULL CHECK (in_flight IN ('abort', 'drain')),
    revoked_us INTEGER,
    status_changed_us INTEGER NOT NULL,
    status_reason TEXT,
    incident_id TEXT,
    revision INTEGER NOT NULL,
    CHECK ((status = 'revoked') = (revoked_us IS NOT NULL))
) STRICT, WITHOUT ROWID;

ALTER TABLE agents ADD COLUMN principal_id BLOB REFERENCES principals (id);
-- `key=value`, with commas between.
ALTER TABLE agents ADD COLUMN labels TEXT NOT NULL DEFAULT '';
ALTER TABLE agents ADD COLUMN expires_s INTEGER;
CREATE INDEX agents_by_principal ON agents (principal_id, id);

-- The labels once more, to find agents by them.
CREATE TABLE agent_labels (
    label_key TEXT NOT NULL,
    label_value TEXT NOT NULL,
    agent_id BLOB NOT NULL REFERENCES agents (id),
    PRIMARY KEY (label_key, label_value, agent_id)
) STRICT, WITHOUT ROWID;

-- Single actions of agents about which something was decided.
CREATE TABLE capabilities (
    agent_id BLOB NOT NULL REFERENCES agents (id),
    action TEXT NOT NULL CHECK (length(action) BETWEEN 1 AND 256),
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'revoked')),
    in_flight TEXT NOT NULL CHECK (in_flight IN ('abort', 'drain')),
    revoked_us INTEGER,
    status_changed_us INTEGER NOT NULL,
    status_reason TEXT,
    incident_id TEXT,
    revision INTEGER NOT NULL,
    PRIMARY KEY (agent_id, action),
    CHECK ((status = 'revoked') = (revoked_us IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- Everyone. No row, or one. A fleet is never revoked: nothing would bring it back.
CREATE TABLE fleet (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended')),
    in_flight TEXT NOT NULL CHECK (in_flight IN ('abort', 'drain')),
    revoked_us INTEGER CHECK (revoked_us IS NULL),
    status_changed_us INTEGER NOT NULL,
    status_reason TEXT,
    incident_id TEXT,
    revision INTEGER NOT NULL
) STRICT;

CREATE TRIGGER principal_revocation_is_final BEFORE UPDATE OF status ON principals
WHEN OLD.status = 'revoked' AND NEW.status <> 'revoked'
BEGIN SELECT RAISE(ABORT, 'revocation is final'); END;
CREATE TRIGGER principals_are_not_renamed BEFORE UPDATE OF id, name, created_us ON principals
BEGIN SELECT RAISE(ABORT, 'a principal is not renamed'); END;
CREATE TRIGGER principals_are_not_deleted BEFORE DELETE ON principals
BEGIN SELECT RAISE(ABORT, 'a principal is not deleted, only revoked'); END;
-- INSERT OR REPLACE deletes without firing the trigger above.
CREATE TRIGGER principals_are_not_replaced BEFORE INSERT ON principals
WHEN EXISTS (SELECT 1 FROM principals WHERE id = NEW.id OR name = NEW.name)
BEGIN SELECT RAISE(ABORT, 'a principal is not replaced'); END;
CREATE TRIGGER capability_revocation_is_final BEFORE UPDATE OF status ON capabilities
WHEN OLD.status = 'revoked' AND NEW.status <> 'revoked'
BEGIN SELECT RAISE(ABORT, 'revocation is final'); END;
CREATE TRIGGER revoked_capabilities_are_not_deleted BEFORE DELETE ON capabilities
WHEN OLD.status = 'revoked'
BEGIN SELECT RAISE(ABORT, 'revocation is final'); END;
CREATE TRIGGER revoked_capabilities_are_not_replaced BEFORE INSERT ON capabilities
WHEN EXISTS (SELECT 1 FROM capabilities
             WHERE agent_id = NEW.agent_id AND action = NEW.action AND status = 'revoked')
BEGIN SELECT RAISE(ABORT, 'revocation is final'); END;
CREATE TRIGGER agents_keep_owner_labels_and_expiry
BEFORE UPDATE OF principal_id, labels, expires_s ON agents
BEGIN SELECT RAISE(ABORT, 'owner, labels and expiry of an agent are not changed'); END;
