-- Who may use the HTTP API, besides the built-in operator `admin`. The key itself is
-- nowhere: `digest` is its SHA-256. These changes take no revision.
CREATE TABLE operators (
    -- Ordered by its bytes, and put into lower case alike whatever the language of the
    -- database is.
    name TEXT COLLATE "C" PRIMARY KEY
        CHECK (length(name) BETWEEN 1 AND 128 AND lower(name) <> 'admin'),
    role TEXT NOT NULL CHECK (role IN ('viewer', 'auditor', 'operator', 'admin')),
    digest BYTEA NOT NULL UNIQUE CHECK (length(digest) = 32),
    created_us BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_s BIGINT,
    revoked_us BIGINT,
    revoked_by TEXT,
    revoked_reason TEXT,
    incident_id TEXT,
    CHECK ((revoked_us IS NULL) = (revoked_by IS NULL))
);

CREATE TRIGGER operator_revocation_is_final BEFORE UPDATE ON operators
FOR EACH ROW WHEN (OLD.revoked_us IS NOT NULL)
EXECUTE FUNCTION kya_refuse('revocation is final');
CREATE TRIGGER operators_are_not_changed
BEFORE UPDATE OF name, role, digest, created_us, created_by, expires_s ON operators
FOR EACH ROW EXECUTE FUNCTION kya_refuse('an operator is not changed, only revoked');
CREATE TRIGGER operators_are_not_deleted BEFORE DELETE ON operators
FOR EACH ROW EXECUTE FUNCTION kya_refuse('an operator is not deleted, only revoked');
CREATE TRIGGER operators_are_not_emptied BEFORE TRUNCATE ON operators
FOR EACH STATEMENT EXECUTE FUNCTION kya_refuse('an operator is not deleted, only revoked');

-- Who it was, beside the reason. Until now it was always the one admin.
ALTER TABLE agents ADD COLUMN status_actor TEXT NOT NULL DEFAULT 'admin';
ALTER TABLE node_registrations ADD COLUMN revoked_by TEXT;
DROP TRIGGER node_revocation_is_final ON node_registrations;
UPDATE node_registrations SET revoked_by = 'admin' WHERE revoked_us IS NOT NULL;
CREATE TRIGGER node_revocation_is_final BEFORE UPDATE ON node_registrations
FOR EACH ROW WHEN (OLD.revoked_us IS NOT NULL)
EXECUTE FUNCTION kya_refuse('revocation is final');
