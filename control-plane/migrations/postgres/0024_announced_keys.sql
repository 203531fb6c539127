-- Keys that are to sign checkpoints later, each with the record that announces it. The newest
-- counts, until a record names a key that signs.
CREATE TABLE audit_announced (
    seq BIGINT PRIMARY KEY,
    verifier_key TEXT COLLATE "C" NOT NULL UNIQUE
);
CREATE TRIGGER audit_announced_are_not_changed BEFORE UPDATE OR DELETE ON audit_announced
FOR EACH ROW EXECUTE FUNCTION kya_refuse('the trail is append-only');
CREATE TRIGGER audit_announced_are_not_emptied BEFORE TRUNCATE ON audit_announced
FOR EACH STATEMENT EXECUTE FUNCTION kya_refuse('the trail is append-only');
