-- Whose capability tokens count. No row before somebody has named the issuer.
CREATE TABLE issuer (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 256),
    max_lifetime_s INTEGER NOT NULL CHECK (max_lifetime_s BETWEEN 1 AND 86400),
    revision INTEGER NOT NULL
) STRICT;

-- The keys that sign capability tokens: each is published, then it may sign, then it is
-- retired. The newest that was activated signs.
CREATE TABLE token_keys (
    public_key BLOB PRIMARY KEY CHECK (length(public_key) = 32),
    published_us INTEGER NOT NULL,
    -- Revision of the change, which tells which of two was activated later.
    activated_revision INTEGER,
    activated_us INTEGER,
    retired_us INTEGER,
    CHECK ((activated_us IS NULL) = (activated_revision IS NULL))
) STRICT;

-- Capability tokens by their names. The tokens themselves are nowhere.
CREATE TABLE capability_tokens (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    agent_id BLOB NOT NULL REFERENCES agents (id),
    -- As those of grants: sorted, with line breaks between; no actions are all.
    services TEXT NOT NULL,
    actions TEXT NOT NULL,
    issued_s INTEGER NOT NULL,
    expires_s INTEGER NOT NULL CHECK (expires_s > issued_s),
    revoked_us INTEGER,
    revision INTEGER NOT NULL
) STRICT;
CREATE INDEX capability_tokens_by_agent ON capability_tokens (agent_id, id);
CREATE INDEX capability_tokens_by_expiry ON capability_tokens (expires_s);

-- Assertions of agents that were used, for as long as they would count.
CREATE TABLE used_assertions (
    agent_id BLOB NOT NULL REFERENCES agents (id),
    jti TEXT NOT NULL CHECK (length(jti) BETWEEN 1 AND 256),
    expires_s INTEGER NOT NULL,
    PRIMARY KEY (agent_id, jti)
) STRICT;
CREATE INDEX used_assertions_by_expiry ON used_assertions (expires_s);

CREATE TRIGGER token_keys_are_not_changed BEFORE UPDATE OF public_key, published_us ON token_keys
BEGIN SELECT RAISE(ABORT, 'a key is not changed'); END;
CREATE TRIGGER a_retired_token_key_stays_so BEFORE UPDATE ON token_keys
WHEN OLD.retired_us IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a retired key is never used again'); END;
CREATE TRIGGER token_keys_are_not_deleted BEFORE DELETE ON token_keys
BEGIN SELECT RAISE(ABORT, 'a key is not deleted, only retired'); END;
CREATE TRIGGER capability_token_revocation_is_final BEFORE UPDATE ON capability_tokens
WHEN OLD.revoked_us IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'revocation is final'); END;
CREATE TRIGGER capability_tokens_are_not_changed
BEFORE UPDATE OF id, agent_id, services, actions, issued_s, expires_s ON capability_tokens
BEGIN SELECT RAISE(ABORT, 'a token is not changed, only revoked'); END;
