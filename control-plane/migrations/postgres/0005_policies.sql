-- What agents may do. The newest version counts.
CREATE TABLE policies (
    id BYTEA PRIMARY KEY CHECK (length(id) = 16),
    name TEXT COLLATE "C" NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 64),
    version BIGINT NOT NULL CHECK (version > 0)
);

CREATE TABLE policy_versions (
    policy_id BYTEA NOT NULL REFERENCES policies (id),
    version BIGINT NOT NULL CHECK (version > 0),
    -- The canonical document, as JSON.
    document TEXT NOT NULL CHECK (length(document) BETWEEN 2 AND 65536),
    step TEXT NOT NULL CHECK (step IN ('applied', 'rolled_back', 'revoked')),
    -- The version whose document it has again.
    rolled_back_to BIGINT CHECK (rolled_back_to < version),
    committed_us BIGINT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT,
    incident_id TEXT,
    revision BIGINT NOT NULL,
    PRIMARY KEY (policy_id, version),
    CHECK ((step = 'rolled_back') = (rolled_back_to IS NOT NULL))
);

ALTER TABLE agents
    ADD COLUMN policy_id BYTEA REFERENCES policies (id),
    -- When the policy was changed after the agent was registered.
    ADD COLUMN policy_revision BIGINT;
CREATE INDEX agents_by_policy ON agents (policy_id, id);

CREATE TRIGGER policies_are_not_renamed BEFORE UPDATE OF id, name ON policies
FOR EACH ROW EXECUTE FUNCTION kya_refuse('a policy is not renamed');
CREATE TRIGGER policy_versions_count_up BEFORE UPDATE OF version ON policies
FOR EACH ROW WHEN (NEW.version <> OLD.version + 1)
EXECUTE FUNCTION kya_refuse('versions of a policy count up');
CREATE TRIGGER policies_are_not_deleted BEFORE DELETE ON policies
FOR EACH ROW EXECUTE FUNCTION kya_refuse('a policy is not deleted');
CREATE TRIGGER policies_are_not_emptied BEFORE TRUNCATE ON policies
FOR EACH STATEMENT EXECUTE FUNCTION kya_refuse('a policy is not deleted');
CREATE TRIGGER policy_versions_are_not_changed BEFORE UPDATE ON policy_versions
FOR EACH ROW EXECUTE FUNCTION kya_refuse('a version of a policy is not changed');
CREATE TRIGGER policy_versions_are_not_deleted BEFORE DELETE ON policy_versions
FOR EACH ROW EXECUTE FUNCTION kya_refuse('a version of a policy is not deleted');
CREATE TRIGGER policy_versions_are_not_emptied BEFORE TRUNCATE ON policy_versions
FOR EACH STATEMENT EXECUTE FUNCTION kya_refuse('a version of a policy is not deleted');
