-- Who may connect as a proxy. The credential itself is nowhere: `digest` is its
-- SHA-256. These changes take no revision: no proxy is told of them.
CREATE TABLE node_registrations (
    name TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 128),
    -- Which `node.id` it may connect as, `*` standing for anything.
    node_id TEXT NOT NULL CHECK (length(node_id) BETWEEN 1 AND 256),
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    created_us INTEGER NOT NULL,
    expires_s INTEGER,
    revoked_us INTEGER,
    revoked_reason TEXT,
    incident_id TEXT
) STRICT, WITHOUT ROWID;

CREATE TRIGGER node_revocation_is_final BEFORE UPDATE ON node_registrations
WHEN OLD.revoked_us IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'revocation is final'); END;
CREATE TRIGGER node_registrations_are_not_changed
BEFORE UPDATE OF name, node_id, digest, created_us, expires_s ON node_registrations
BEGIN SELECT RAISE(ABORT, 'a node registration is not changed, only revoked'); END;
CREATE TRIGGER node_registrations_are_not_deleted BEFORE DELETE ON node_registrations
BEGIN SELECT RAISE(ABORT, 'a node registration is not deleted, only revoked'); END;
-- INSERT OR REPLACE deletes without firing the trigger above.
CREATE TRIGGER node_registrations_are_not_replaced BEFORE INSERT ON node_registrations
WHEN EXISTS (SELECT 1 FROM node_registrations WHERE name = NEW.name OR digest = NEW.digest)
BEGIN SELECT RAISE(ABORT, 'a node registration is not replaced'); END;
