-- Records in bundles: many are one row. Those that are in `audit_records` already stay there.

CREATE TABLE audit_bundles (
    -- Numbers of its first and its last record; they are of one transaction.
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL CHECK (last BETWEEN first AND first + 255),
    -- The earliest and the latest time of its records.
    from_us INTEGER NOT NULL,
    until_us INTEGER NOT NULL,
    -- Length of `records`.
    bytes INTEGER NOT NULL,
    -- The hash of each in the chain.
    hashes BLOB NOT NULL CHECK (length(hashes) = 32 * (last - first + 1)),
    -- Canonical JSON (RFC 8785), exactly as it is hashed; a line feed, which stands in none,
    -- after each.
    records TEXT NOT NULL
) STRICT;

-- In which bundles there is something about an agent or a kill, or of an act.
CREATE TABLE audit_found (
    what TEXT NOT NULL CHECK (what IN ('agent', 'kill', 'act')),
    value TEXT NOT NULL,
    first INTEGER NOT NULL,
    PRIMARY KEY (what, value, first)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER audit_bundles_are_not_changed BEFORE UPDATE ON audit_bundles
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
-- Each begins where the trail ends, or the bundle before it. INSERT OR REPLACE deletes
-- without firing the trigger below.
CREATE TRIGGER audit_bundles_are_appended BEFORE INSERT ON audit_bundles
WHEN NEW.first IS NOT 1 + max(
       (SELECT size FROM audit_head),
       coalesce((SELECT last FROM audit_bundles ORDER BY first DESC LIMIT 1), 0))
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
-- One goes when each of its records that is not archived, or is kept, has a row of its own.
CREATE TRIGGER audit_bundles_are_not_deleted BEFORE DELETE ON audit_bundles
WHEN OLD.first > (SELECT coalesce(max(last), 0) FROM audit_archives)
  OR (SELECT count(*) FROM audit_records
      WHERE seq BETWEEN (SELECT max(last) + 1 FROM audit_archives) AND OLD.last)
     < OLD.last - (SELECT max(last) FROM audit_archives)
  OR EXISTS (SELECT 1 FROM audit_kept WHERE seq BETWEEN OLD.first AND OLD.last
             AND NOT EXISTS (SELECT 1 FROM audit_records AS own WHERE own.seq = audit_kept.seq))
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;

CREATE TRIGGER audit_found_is_not_changed BEFORE UPDATE ON audit_found
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER audit_found_is_not_deleted BEFORE DELETE ON audit_found
WHEN EXISTS (SELECT 1 FROM audit_bundles WHERE first = OLD.first)
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;

-- Rows of their own are only given any more to records of a bundle that is about to go.
DROP TRIGGER audit_records_are_appended;
CREATE TRIGGER audit_records_are_of_a_bundle BEFORE INSERT ON audit_records
WHEN EXISTS (SELECT 1 FROM audit_records WHERE seq = NEW.seq)
  OR NOT EXISTS (
       SELECT 1 FROM (SELECT * FROM audit_bundles WHERE first <= NEW.seq
                      ORDER BY first DESC LIMIT 1) AS bundle
       WHERE NEW.seq <= bundle.last
         AND NEW.hash = substr(bundle.hashes, 32 * (NEW.seq - bundle.first) + 1, 32)
         AND NEW.seq IS NEW.record ->> '$.seq'
         AND NEW.type IS NEW.record ->> '$.type'
         AND instr(char(10) || bundle.records, char(10) || NEW.record || char(10)) > 0)
BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;

-- Only what a record of the trail says is archived: it is a bundle of its own.
DROP TRIGGER audit_archives_are_in_the_trail;
CREATE TRIGGER audit_archives_are_in_the_trail BEFORE INSERT ON audit_archives
WHEN EXISTS (SELECT 1 FROM audit_archives WHERE seq = NEW.seq)
     OR NEW.last >= NEW.seq
     OR NOT EXISTS (SELECT 1 FROM audit_bundles
                    WHERE first = NEW.seq AND last = NEW.seq
                      AND records ->> '$.type' = 'archived'
                      AND records ->> '$.first' = NEW.first
                      AND records ->> '$.last' = NEW.last)
BEGIN SELECT RAISE(ABORT, 'only what a record says is archived'); END;
