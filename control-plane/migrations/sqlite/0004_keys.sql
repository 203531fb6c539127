-- Each step by which the keys that sign updates were replaced. A step is a change
-- like any other: it has a revision (whose delta is empty) and an event.
CREATE TABLE key_steps (
    revision INTEGER PRIMARY KEY REFERENCES updates (revision),
    action TEXT NOT NULL CHECK (action IN ('announced', 'activated', 'retired', 'compacted')),
    -- Of the newest `Keys` update, of this step or an earlier one.
    serial INTEGER NOT NULL,
    -- The key that signs from this step on, and the keys that count.
    active TEXT NOT NULL,
    counting TEXT NOT NULL,
    -- An encoded `SignedUpdate` of `Keys`, where the step has one.
    signed BLOB,
    actor TEXT NOT NULL,
    reason TEXT,
    incident_id TEXT,
    CHECK ((action IN ('announced', 'retired')) = (signed IS NOT NULL))
) STRICT;

CREATE TRIGGER key_steps_are_not_changed BEFORE UPDATE ON key_steps
BEGIN SELECT RAISE(ABORT, 'key steps are append-only'); END;
CREATE TRIGGER key_steps_are_not_deleted BEFORE DELETE ON key_steps
BEGIN SELECT RAISE(ABORT, 'key steps are append-only'); END;
-- INSERT OR REPLACE deletes without firing the trigger above.
CREATE TRIGGER key_steps_are_not_replaced BEFORE INSERT ON key_steps
WHEN EXISTS (SELECT 1 FROM key_steps WHERE revision >= NEW.revision)
BEGIN SELECT RAISE(ABORT, 'key steps are append-only'); END;
CREATE TRIGGER key_serials_grow BEFORE INSERT ON key_steps
WHEN NEW.signed IS NOT NULL AND NEW.serial <= (SELECT max(serial) FROM key_steps)
BEGIN SELECT RAISE(ABORT, 'a serial is higher than the one before'); END;
