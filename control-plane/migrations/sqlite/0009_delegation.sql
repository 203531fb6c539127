-- Whom an agent acts for, and which agent it came after. Both stay as registered.
ALTER TABLE agents ADD COLUMN parent_id BLOB REFERENCES agents (id);
ALTER TABLE agents ADD COLUMN replaces_id BLOB REFERENCES agents (id);
-- Tokens of the agent count only if they were issued after this second; 0 is no bound.
ALTER TABLE agents ADD COLUMN tokens_not_before_s INTEGER NOT NULL DEFAULT 0;
-- When it was seen, and written to the log, that the agent had expired.
ALTER TABLE agents ADD COLUMN expiry_noted_us INTEGER;
CREATE INDEX agents_by_parent ON agents (parent_id, id);
CREATE INDEX agents_by_key ON agents (public_key);
-- An agent has one successor at most.
CREATE UNIQUE INDEX agents_by_predecessor ON agents (replaces_id);
CREATE INDEX agents_that_expire ON agents (expires_s)
    WHERE expires_s IS NOT NULL AND expiry_noted_us IS NULL;

-- The only services and actions that a grant is for, sorted, with line breaks between;
-- all, if there are none.
ALTER TABLE grants ADD COLUMN services TEXT NOT NULL DEFAULT '';
ALTER TABLE grants ADD COLUMN actions TEXT NOT NULL DEFAULT '';

CREATE TRIGGER agents_keep_parent_and_predecessor BEFORE UPDATE OF parent_id, replaces_id ON agents
BEGIN SELECT RAISE(ABORT, 'whom an agent acts for, and which it replaces, are not changed'); END;
CREATE TRIGGER superseded_tokens_stay_so BEFORE UPDATE OF tokens_not_before_s ON agents
WHEN NEW.tokens_not_before_s < OLD.tokens_not_before_s
BEGIN SELECT RAISE(ABORT, 'tokens that were taken back stay so'); END;
CREATE TRIGGER an_expiry_is_noted_once BEFORE UPDATE OF expiry_noted_us ON agents
WHEN OLD.expiry_noted_us IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'an expiry is noted once'); END;
