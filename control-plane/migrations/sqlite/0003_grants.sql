-- What becomes of requests in flight when the status of an agent stops them.
ALTER TABLE agents ADD COLUMN in_flight TEXT NOT NULL DEFAULT 'abort'
    CHECK (in_flight IN ('abort', 'drain'));

-- What tokens stand for. AUTOINCREMENT, so that no index is ever given twice.
CREATE TABLE grants (
    grant_index INTEGER PRIMARY KEY AUTOINCREMENT
        CHECK (grant_index BETWEEN 0 AND 2147483647),
    agent_id BLOB NOT NULL REFERENCES agents (id)
) STRICT;
CREATE INDEX grants_by_agent ON grants (agent_id);
INSERT INTO grants (agent_id) SELECT id FROM agents ORDER BY id;

-- Tokens once more, each with its grant.
CREATE TABLE granted_tokens (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    agent_id BLOB NOT NULL REFERENCES agents (id),
    grant_index INTEGER NOT NULL REFERENCES grants (grant_index),
    issued_us INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    revoked_us INTEGER,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO granted_tokens
    SELECT id, digest, tokens.agent_id, grant_index, issued_us, expires_s, revoked_us, revision
    FROM tokens JOIN grants USING (agent_id);
DROP TABLE tokens;
ALTER TABLE granted_tokens RENAME TO tokens;
CREATE INDEX tokens_by_agent ON tokens (agent_id, id);

CREATE TRIGGER token_revocation_is_final BEFORE UPDATE OF revoked_us ON tokens
WHEN OLD.revoked_us IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'revocation is final'); END;
CREATE TRIGGER grants_are_not_changed BEFORE UPDATE ON grants
BEGIN SELECT RAISE(ABORT, 'a grant is never changed'); END;
CREATE TRIGGER grants_are_not_deleted BEFORE DELETE ON grants
BEGIN SELECT RAISE(ABORT, 'an index is never given again'); END;
-- INSERT OR REPLACE deletes without firing the trigger above.
CREATE TRIGGER grants_are_not_replaced BEFORE INSERT ON grants
WHEN EXISTS (SELECT 1 FROM grants WHERE grant_index = NEW.grant_index)
BEGIN SELECT RAISE(ABORT, 'a grant is never changed'); END;

-- A delta that was stored before this is of an older shape. It stays: nothing
-- reads a delta from before the latest opening.
