-- Who delegates to agents.
CREATE TABLE principals (
    id BYTEA PRIMARY KEY CHECK (length(id) = 16),
    name TEXT COLLATE "C" NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 254),
    created_us BIGINT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'revoked')),
    in_flight TEXT NOT NULL CHECK (in_flight IN ('abort', 'drain')),
    revoked_us BIGINT,
    status_changed_us BIGINT NOT NULL,
    status_reason TEXT,
    incident_id TEXT,
    revision BIGINT NOT NULL,
    CHECK ((status = 'revoked') = (revoked_us IS NOT NULL))
);

ALTER TABLE agents
    ADD COLUMN principal_id BYTEA REFERENCES principals (id),
    -- `key=value`, with commas between.
    ADD COLUMN labels TEXT NOT NULL DEFAULT '',
    ADD COLUMN expires_s BIGINT;
CREATE INDEX agents_by_principal ON agents (principal_id, id);

-- The labels once more, to find agents by them.
CREATE TABLE agent_labels (
    label_key TEXT NOT NULL,
    label_value TEXT NOT NULL,
    agent_id BYTEA NOT NULL REFERENCES agents (id),
    PRIMARY KEY (label_key, label_value, agent_id)
);

-- Single actions of agents about which something was decided.
CREATE TABLE capabilities (
    agent_id BYTEA NOT NULL REFERENCES agents (id),
    action TEXT COLLATE "C" NOT NULL CHECK (length(action) BETWEEN 1 AND 256),
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'revoked')),
    in_flight TEXT NOT NULL CHECK (in_flight IN ('abort', 'drain')),
    revoked_us BIGINT,
    status_changed_us BIGINT NOT NULL,
    status_reason TEXT,
    incident_id TEXT,
    revision BIGINT NOT NULL,
    PRIMARY KEY (agent_id, action),
    CHECK ((status = 'revoked') = (revoked_us IS NOT NULL))
);

-- Everyone. No row, or one. A fleet is never revoked: nothing would bring it back.
CREATE TABLE fleet (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended')),
    in_flight TEXT NOT NULL CHECK (in_flight IN ('abort', 'drain')),
    revoked_us BIGINT CHECK (revoked_us IS NULL),
    status_changed_us BIGINT NOT NULL,
    status_reason TEXT,
    incident_id TEXT,
    revision BIGINT NOT NULL
);

CREATE TRIGGER principal_revocation_is_final BEFORE UPDATE OF status ON principals
FOR EACH ROW WHEN (OLD.status = 'revoked' AND NEW.status <> 'revoked')
EXECUTE FUNCTION kya_refuse('revocation is final');
CREATE TRIGGER principals_are_not_renamed BEFORE UPDATE OF id, name, created_us ON principals
FOR EACH ROW EXECUTE FUNCTION kya_refuse('a principal is not renamed');
CREATE TRIGGER principals_are_not_deleted BEFORE DELETE ON principals
FOR EACH ROW EXECUTE FUNCTION kya_refuse('a principal is not deleted, only revoked');
CREATE TRIGGER principals_are_not_emptied BEFORE TRUNCATE ON principals
FOR EACH STATEMENT EXECUTE FUNCTION kya_refuse('a principal is not deleted, only revoked');
CREATE TRIGGER capability_revocation_is_final BEFORE UPDATE OF status ON capabilities
FOR EACH ROW WHEN (OLD.status = 'revoked' AND NEW.status <> 'revoked')
EXECUTE FUNCTION kya_refuse('revocation is final');
CREATE TRIGGER revoked_capabilities_are_not_deleted BEFORE DELETE ON capabilities
FOR EACH ROW WHEN (OLD.status = 'revoked')
EXECUTE FUNCTION kya_refuse('revocation is final');
CREATE TRIGGER capabilities_are_not_emptied BEFORE TRUNCATE ON capabilities
FOR EACH STATEMENT EXECUTE FUNCTION kya_refuse('revocation is final');
CREATE TRIGGER agents_keep_owner_labels_and_expiry
BEFORE UPDATE OF principal_id, labels, expires_s ON agents
FOR EACH ROW EXECUTE FUNCTION kya_refuse('owner, labels and expiry of an agent are not changed');
