-- Restorations that wait, or waited, for a second operator. These changes take no revision;
-- the restoration itself is a change like every other.
CREATE TABLE approvals (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    kind TEXT NOT NULL CHECK (kind IN ('agent', 'capability', 'principal', 'fleet')),
    -- The agent or the principal; of the fleet, none.
    target_id BLOB CHECK (length(target_id) = 16),
    -- Of a capability, which.
    action TEXT,
    -- Of the decision that is to be undone: it counts for no other.
    target_revision INTEGER NOT NULL,
    asked_by TEXT NOT NULL CHECK (length(asked_by) > 0),
    asked_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    reason TEXT,
    incident_id TEXT,
    -- How it ended, if it did not just expire.
    verdict TEXT CHECK (verdict IN ('approved', 'rejected', 'void')),
    settled_by TEXT,
    settled_us INTEGER,
    -- Of the restoration.
    revision INTEGER,
    CHECK ((kind = 'fleet') = (target_id IS NULL)),
    CHECK ((kind = 'capability') = (action IS NOT NULL)),
    CHECK ((verdict IS NULL) = (settled_by IS NULL)),
    CHECK ((verdict IS NULL) = (settled_us IS NULL)),
    CHECK ((revision IS NOT NULL) = (verdict IS NOT NULL AND verdict = 'approved')),
    -- Whoever asked is not the one who approves.
    CHECK (verdict IS NULL OR verdict <> 'approved' OR settled_by <> asked_by)
) STRICT;
CREATE INDEX approvals_by_expiry ON approvals (expires_us);

CREATE TRIGGER what_was_settled_stays_so BEFORE UPDATE ON approvals
WHEN OLD.verdict IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'what was settled stays so'); END;
CREATE TRIGGER what_is_asked_is_not_changed
BEFORE UPDATE OF id, kind, target_id, action, target_revision, asked_by, asked_us, expires_us, reason,
                 incident_id ON approvals
BEGIN SELECT RAISE(ABORT, 'what is asked is not changed'); END;
