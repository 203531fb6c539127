-- Records of the audit trail in bundles: many are one row. Those that are in `audit_records`
-- already stay there.

CREATE TABLE audit_bundles (
    -- Numbers of its first and its last record; they are of one transaction.
    first BIGINT PRIMARY KEY,
    last BIGINT NOT NULL CHECK (last BETWEEN first AND first + 255),
    -- The earliest and the latest time of its records.
    from_us BIGINT NOT NULL,
    until_us BIGINT NOT NULL,
    -- Length of `records`.
    bytes BIGINT NOT NULL,
    -- The hash of each in the chain.
    hashes BYTEA NOT NULL CHECK (length(hashes) = 32 * (last - first + 1)),
    -- Canonical JSON (RFC 8785), exactly as it is hashed; a line feed, which stands in none,
    -- after each.
    records TEXT COLLATE "C" NOT NULL
);
-- Compressing it would take longer than writing it.
ALTER TABLE audit_bundles ALTER COLUMN hashes SET STORAGE EXTERNAL;
ALTER TABLE audit_bundles ALTER COLUMN records SET STORAGE EXTERNAL;

-- In which bundles there is something about an agent or a kill, or of an act.
CREATE TABLE audit_found (
    what TEXT COLLATE "C" NOT NULL CHECK (what IN ('agent', 'kill', 'act')),
    value TEXT COLLATE "C" NOT NULL,
    first BIGINT NOT NULL,
    PRIMARY KEY (what, value, first)
);

-- Each bundle begins where the trail ends, or the bundle before it.
CREATE FUNCTION kya_audit_bundle() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE size BIGINT;
BEGIN
    EXECUTE format(
        'SELECT greatest((SELECT size FROM %1$I.audit_head),
                         (SELECT last FROM %1$I.audit_bundles ORDER BY first DESC LIMIT 1))',
        TG_TABLE_SCHEMA
    ) INTO size;
    IF NEW.first IS DISTINCT FROM size + 1 THEN
        RAISE EXCEPTION 'the trail is append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_bundles_are_appended BEFORE INSERT ON audit_bundles
FOR EACH ROW EXECUTE FUNCTION kya_audit_bundle();

-- One goes when each of its records that is not archived, or is kept, has a row of its own.
CREATE FUNCTION kya_audit_bundle_goes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE archived BIGINT;
DECLARE missing BOOLEAN;
BEGIN
    EXECUTE format('SELECT coalesce(max(last), 0) FROM %I.audit_archives', TG_TABLE_SCHEMA)
    INTO archived;
    EXECUTE format(
        'SELECT $2 > $3
            OR (SELECT count(*) FROM %1$I.audit_records WHERE seq > $3 AND seq <= $1) < $1 - $3
            OR EXISTS (SELECT 1 FROM %1$I.audit_kept WHERE seq BETWEEN $2 AND $1
                       AND NOT EXISTS (SELECT 1 FROM %1$I.audit_records AS own
                                       WHERE own.seq = audit_kept.seq))',
        TG_TABLE_SCHEMA
    ) INTO missing USING OLD.last, OLD.first, archived;
    IF missing THEN
        RAISE EXCEPTION 'the trail is append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER audit_bundles_are_not_deleted BEFORE DELETE ON audit_bundles
FOR EACH ROW EXECUTE FUNCTION kya_audit_bundle_goes();

CREATE FUNCTION kya_audit_found() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE is_there BOOLEAN;
BEGIN
    EXECUTE format(
        'SELECT EXISTS (SELECT 1 FROM %I.audit_bundles WHERE first = $1)', TG_TABLE_SCHEMA
    ) INTO is_there USING OLD.first;
    IF is_there THEN
        RAISE EXCEPTION 'the trail is append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER audit_found_is_not_deleted BEFORE DELETE ON audit_found
FOR EACH ROW EXECUTE FUNCTION kya_audit_found();

-- Rows of their own are only given any more to records of a bundle that is about to go.
CREATE FUNCTION kya_audit_record() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE is_there BOOLEAN;
BEGIN
    EXECUTE format(
        'SELECT EXISTS (
           SELECT 1 FROM (SELECT * FROM %I.audit_bundles WHERE first <= $1
                          ORDER BY first DESC LIMIT 1) AS bundle
           WHERE $1 <= bundle.last
             AND $2 = substr(bundle.hashes, (32 * ($1 - bundle.first) + 1)::int, 32)
             AND $1 = ($3::json ->> ''seq'')::bigint
             AND $4 = $3::json ->> ''type''
             AND position(chr(10) || $3 || chr(10) IN chr(10) || bundle.records) > 0)',
        TG_TABLE_SCHEMA
    ) INTO is_there USING NEW.seq, NEW.hash, NEW.record, NEW.type;
    IF NOT is_there THEN
        RAISE EXCEPTION 'the trail is append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_records_are_of_a_bundle BEFORE INSERT ON audit_records
FOR EACH ROW EXECUTE FUNCTION kya_audit_record();

-- Only what a record of the trail says is archived: it is a bundle of its own.
CREATE OR REPLACE FUNCTION kya_audit_archive() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE found BOOLEAN;
BEGIN
    EXECUTE format(
        'SELECT EXISTS (SELECT 1 FROM %I.audit_bundles
                        WHERE first = $1 AND last = $1
                          AND records::json ->> ''type'' = ''archived''
                          AND (records::json ->> ''first'')::bigint = $2
                          AND (records::json ->> ''last'')::bigint = $3)',
        TG_TABLE_SCHEMA
    ) INTO found USING NEW.seq, NEW.first, NEW.last;
    IF NEW.last >= NEW.seq OR NOT found THEN
        RAISE EXCEPTION 'only what a record says is archived'
        USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER audit_bundles_are_not_changed BEFORE UPDATE ON audit_bundles
FOR EACH ROW EXECUTE FUNCTION kya_refuse('the trail is append-only');
CREATE TRIGGER audit_bundles_are_not_emptied BEFORE TRUNCATE ON audit_bundles
FOR EACH STATEMENT EXECUTE FUNCTION kya_refuse('the trail is append-only');
CREATE TRIGGER audit_found_is_not_changed BEFORE UPDATE ON audit_found
FOR EACH ROW EXECUTE FUNCTION kya_refuse('the trail is append-only');
CREATE TRIGGER audit_found_is_not_emptied BEFORE TRUNCATE ON audit_found
FOR EACH STATEMENT EXECUTE FUNCTION kya_refuse('the trail is append-only');
