ALTER TABLE agents
    -- Whom an agent acts for, and which agent it came after. Both stay as registered.
    ADD COLUMN parent_id BYTEA REFERENCES agents (id),
    ADD COLUMN replaces_id BYTEA REFERENCES agents (id),
    -- Tokens of the agent count only if they were issued after this second; 0 is no bound.
    ADD COLUMN tokens_not_before_s BIGINT NOT NULL DEFAULT 0,
    -- When it was seen, and written to the log, that the agent had expired.
    ADD COLUMN expiry_noted_us BIGINT;
CREATE INDEX agents_by_parent ON agents (parent_id, id);
CREATE INDEX agents_by_key ON agents (public_key);
-- An agent has one successor at most.
CREATE UNIQUE INDEX agents_by_predecessor ON agents (replaces_id);
CREATE INDEX agents_that_expire ON agents (expires_s)
    WHERE expires_s IS NOT NULL AND expiry_noted_us IS NULL;

-- The only services and actions that a grant is for, sorted, with line breaks between;
-- all, if there are none.
ALTER TABLE grants
    ADD COLUMN services TEXT NOT NULL DEFAULT '',
    ADD COLUMN actions TEXT NOT NULL DEFAULT '';

CREATE TRIGGER agents_keep_parent_and_predecessor BEFORE UPDATE OF parent_id, replaces_id ON agents
FOR EACH ROW EXECUTE FUNCTION
    kya_refuse('whom an agent acts for, and which it replaces, are not changed');
CREATE TRIGGER superseded_tokens_stay_so BEFORE UPDATE OF tokens_not_before_s ON agents
FOR EACH ROW WHEN (NEW.tokens_not_before_s < OLD.tokens_not_before_s)
EXECUTE FUNCTION kya_refuse('tokens that were taken back stay so');
CREATE TRIGGER an_expiry_is_noted_once BEFORE UPDATE OF expiry_noted_us ON agents
FOR EACH ROW WHEN (OLD.expiry_noted_us IS NOT NULL)
EXECUTE FUNCTION kya_refuse('an expiry is noted once');
