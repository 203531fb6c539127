-- Keys that are to sign checkpoints later, each with the record that announces it. The newest
-- counts, until a record names a key that signs.
CREATE TABLE audit_announced (
    seq INTEGER PRIMARY KEY,
    verifier_key TEXT NOT NULL UNIQUE
) STRICT;
CREATE TRIGGER audit_announced_are_not_changed BEFORE UPDATE ON audit_announced
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_announced_are_not_deleted BEFORE DELETE ON audit_announced
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_announced_are_not_replaced BEFORE INSERT ON audit_announced
WHEN EXISTS (SELECT 1 FROM audit_announced WHERE seq = NEW.seq OR verifier_key = NEW.verifier_key)
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
