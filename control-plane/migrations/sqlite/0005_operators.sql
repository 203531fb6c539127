-- Who may use the HTTP API, besides the built-in operator `admin`. The key itself is
-- nowhere: `digest` is its SHA-256. These changes take no revision.
CREATE TABLE operators (
    name TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 128 AND lower(name) <> 'admin'),
    role TEXT NOT NULL CHECK (role IN ('viewer', 'auditor', 'operator', 'admin')),
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    created_us INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_s INTEGER,
    revoked_us INTEGER,
    revoked_by TEXT,
    revoked_reason TEXT,
    incident_id TEXT,
    CHECK ((revoked_us IS NULL) = (revoked_by IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TRIGGER operator_revocation_is_final BEFORE UPDATE ON operators
WHEN OLD.revoked_us IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'revocation is final'); END;
CREATE TRIGGER operators_are_not_changed
BEFORE UPDATE OF name, role, digest, created_us, created_by, expires_s ON operators
BEGIN SELECT RAISE(ABORT, 'an operator is not changed, only revoked'); END;
CREATE TRIGGER operators_are_not_deleted BEFORE DELETE ON operators
BEGIN SELECT RAISE(ABORT, 'an operator is not deleted, only revoked'); END;
-- INSERT OR REPLACE deletes without firing the trigger above.
CREATE TRIGGER operators_are_not_replaced BEFORE INSERT ON operators
WHEN EXISTS (SELECT 1 FROM operators WHERE name = NEW.name OR digest = NEW.digest)
BEGIN SELECT RAISE(ABORT, 'an operator is not replaced'); END;

-- Who it was, beside the reason. Until now it was always the one admin.
ALTER TABLE agents ADD COLUMN status_actor TEXT NOT NULL DEFAULT 'admin';
ALTER TABLE node_registrations ADD COLUMN revoked_by TEXT;
DROP TRIGGER node_revocation_is_final;
UPDATE node_registrations SET revoked_by = 'admin' WHERE revoked_us IS NOT NULL;
CREATE TRIGGER node_revocation_is_final BEFORE UPDATE ON node_registrations
WHEN OLD.revoked_us IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'revocation is final'); END;
