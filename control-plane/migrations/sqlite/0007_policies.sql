-- What agents may do. The newest version counts.
CREATE TABLE policies (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 64),
    version INTEGER NOT NULL CHECK (version > 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE policy_versions (
    policy_id BLOB NOT NULL REFERENCES policies (id),
    version INTEGER NOT NULL CHECK (version > 0),
    -- The canonical document, as JSON.
    document TEXT NOT NULL CHECK (length(document) BETWEEN 2 AND 65536),
    step TEXT NOT NULL CHECK (step IN ('applied', 'rolled_back', 'revoked')),
    -- The version whose document it has again.
    rolled_back_to INTEGER CHECK (rolled_back_to < version),
    committed_us INTEGER NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT,
    incident_id TEXT,
    revision INTEGER NOT NULL,
    PRIMARY KEY (policy_id, version),
    CHECK ((step = 'rolled_back') = (rolled_back_to IS NOT NULL))
) STRICT;

ALTER TABLE agents ADD COLUMN policy_id BLOB REFERENCES policies (id);
-- When the policy was changed after the agent was registered.
ALTER TABLE agents ADD COLUMN policy_revision INTEGER;
CREATE INDEX agents_by_policy ON agents (policy_id, id);

CREATE TRIGGER policies_are_not_renamed BEFORE UPDATE OF id, name ON policies
BEGIN SELECT RAISE(ABORT, 'a policy is not renamed'); END;
CREATE TRIGGER policy_versions_count_up BEFORE UPDATE OF version ON policies
WHEN NEW.version <> OLD.version + 1
BEGIN SELECT RAISE(ABORT, 'versions of a policy count up'); END;
CREATE TRIGGER policies_are_not_deleted BEFORE DELETE ON policies
BEGIN SELECT RAISE(ABORT, 'a policy is not deleted'); END;
-- INSERT OR REPLACE deletes without firing the trigger above.
CREATE TRIGGER policies_are_not_replaced BEFORE INSERT ON policies
WHEN EXISTS (SELECT 1 FROM policies WHERE id = NEW.id OR name = NEW.name)
BEGIN SELECT RAISE(ABORT, 'a policy is not replaced'); END;
CREATE TRIGGER policy_versions_are_not_changed BEFORE UPDATE ON policy_versions
BEGIN SELECT RAISE(ABORT, 'a version of a policy is not changed'); END;
CREATE TRIGGER policy_versions_are_not_deleted BEFORE DELETE ON policy_versions
BEGIN SELECT RAISE(ABORT, 'a version of a policy is not deleted'); END;
CREATE TRIGGER policy_versions_are_not_replaced BEFORE INSERT ON policy_versions
WHEN EXISTS (SELECT 1 FROM policy_versions
             WHERE policy_id = NEW.policy_id AND version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'a version of a policy is not replaced'); END;
