-- Whose capability tokens count. No row before somebody has named the issuer.
CREATE TABLE issuer (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 256),
    max_lifetime_s BIGINT NOT NULL CHECK (max_lifetime_s BETWEEN 1 AND 86400),
    revision BIGINT NOT NULL
);

-- The keys that sign capability tokens: each is published, then it may sign, then it is
-- retired. The newest that was activated signs.
CREATE TABLE token_keys (
    public_key BYTEA PRIMARY KEY CHECK (length(public_key) = 32),
    published_us BIGINT NOT NULL,
    -- Revision of the change, which tells which of two was activated later.
    activated_revision BIGINT,
    activated_us BIGINT,
    retired_us BIGINT,
    CHECK ((activated_us IS NULL) = (activated_revision IS NULL))
);

-- Capability tokens by their names. The tokens themselves are nowhere.
CREATE TABLE capability_tokens (
    id BYTEA PRIMARY KEY CHECK (length(id) = 16),
    agent_id BYTEA NOT NULL REFERENCES agents (id),
    -- As those of grants: sorted, with line breaks between; no actions are all.
    services TEXT NOT NULL,
    actions TEXT NOT NULL,
    issued_s BIGINT NOT NULL,
    expires_s BIGINT NOT NULL CHECK (expires_s > issued_s),
    revoked_us BIGINT,
    revision BIGINT NOT NULL
);
CREATE INDEX capability_tokens_by_agent ON capability_tokens (agent_id, id);
CREATE INDEX capability_tokens_by_expiry ON capability_tokens (expires_s);

-- Assertions of agents that were used, for as long as they would count.
CREATE TABLE used_assertions (
    agent_id BYTEA NOT NULL REFERENCES agents (id),
    jti TEXT COLLATE "C" NOT NULL CHECK (length(jti) BETWEEN 1 AND 256),
    expires_s BIGINT NOT NULL,
    PRIMARY KEY (agent_id, jti)
);
CREATE INDEX used_assertions_by_expiry ON used_assertions (expires_s);

CREATE TRIGGER token_keys_are_not_changed BEFORE UPDATE OF public_key, published_us ON token_keys
FOR EACH ROW EXECUTE FUNCTION kya_refuse('a key is not changed');
CREATE TRIGGER a_retired_token_key_stays_so BEFORE UPDATE ON token_keys
FOR EACH ROW WHEN (OLD.retired_us IS NOT NULL)
EXECUTE FUNCTION kya_refuse('a retired key is never used again');
CREATE TRIGGER token_keys_are_not_deleted BEFORE DELETE ON token_keys
FOR EACH ROW EXECUTE FUNCTION kya_refuse('a key is not deleted, only retired');
CREATE TRIGGER token_keys_are_not_emptied BEFORE TRUNCATE ON token_keys
FOR EACH STATEMENT EXECUTE FUNCTION kya_refuse('a key is not deleted, only retired');
CREATE TRIGGER capability_token_revocation_is_final BEFORE UPDATE ON capability_tokens
FOR EACH ROW WHEN (OLD.revoked_us IS NOT NULL)
EXECUTE FUNCTION kya_refuse('revocation is final');
CREATE TRIGGER capability_tokens_are_not_changed
BEFORE UPDATE OF id, agent_id, services, actions, issued_s, expires_s ON capability_tokens
FOR EACH ROW EXECUTE FUNCTION kya_refuse('a token is not changed, only revoked');
