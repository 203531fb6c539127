-- The database itself refuses what must never happen, whoever asks. A name may be
-- looked up in any schema: each trigger finds the tables in that of its own.

CREATE FUNCTION kya_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER events_are_not_changed BEFORE UPDATE OR DELETE ON events
FOR EACH ROW EXECUTE FUNCTION kya_refuse('events are append-only');
CREATE TRIGGER events_are_not_emptied BEFORE TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION kya_refuse('events are append-only');

CREATE TRIGGER updates_are_not_changed BEFORE UPDATE ON updates
FOR EACH ROW EXECUTE FUNCTION kya_refuse('updates are append-only');
CREATE TRIGGER updates_are_not_emptied BEFORE TRUNCATE ON updates
FOR EACH STATEMENT EXECUTE FUNCTION kya_refuse('updates are append-only');

CREATE TRIGGER grants_are_not_changed BEFORE UPDATE OR DELETE ON grants
FOR EACH ROW EXECUTE FUNCTION kya_refuse('a grant is never changed, and its index never given again');
CREATE TRIGGER grants_are_not_emptied BEFORE TRUNCATE ON grants
FOR EACH STATEMENT EXECUTE FUNCTION kya_refuse('an index is never given again');

CREATE TRIGGER key_steps_are_not_changed BEFORE UPDATE OR DELETE ON key_steps
FOR EACH ROW EXECUTE FUNCTION kya_refuse('key steps are append-only');
CREATE TRIGGER key_steps_are_not_emptied BEFORE TRUNCATE ON key_steps
FOR EACH STATEMENT EXECUTE FUNCTION kya_refuse('key steps are append-only');

CREATE TRIGGER the_first_key_is_not_changed BEFORE UPDATE OR DELETE ON first_key
FOR EACH ROW EXECUTE FUNCTION kya_refuse('the first key stays the first');

CREATE TRIGGER revocation_is_final BEFORE UPDATE OF status ON agents
FOR EACH ROW WHEN (OLD.status = 'revoked' AND NEW.status <> 'revoked')
EXECUTE FUNCTION kya_refuse('revocation is final');
CREATE TRIGGER token_revocation_is_final BEFORE UPDATE OF revoked_us ON tokens
FOR EACH ROW WHEN (OLD.revoked_us IS NOT NULL)
EXECUTE FUNCTION kya_refuse('revocation is final');

CREATE TRIGGER node_revocation_is_final BEFORE UPDATE ON node_registrations
FOR EACH ROW WHEN (OLD.revoked_us IS NOT NULL)
EXECUTE FUNCTION kya_refuse('revocation is final');
CREATE TRIGGER node_registrations_are_not_changed
BEFORE UPDATE OF name, node_id, digest, created_us, expires_s ON node_registrations
FOR EACH ROW EXECUTE FUNCTION kya_refuse('a node registration is not changed, only revoked');
CREATE TRIGGER node_registrations_are_not_deleted BEFORE DELETE ON node_registrations
FOR EACH ROW EXECUTE FUNCTION kya_refuse('a node registration is not deleted, only revoked');
CREATE TRIGGER node_registrations_are_not_emptied BEFORE TRUNCATE ON node_registrations
FOR EACH STATEMENT EXECUTE FUNCTION kya_refuse('a node registration is not deleted, only revoked');

CREATE FUNCTION kya_follow_the_head() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    follows BOOLEAN;
BEGIN
    EXECUTE format('SELECT $1 = (SELECT revision + 1 FROM %I.head)', TG_TABLE_SCHEMA)
        INTO follows USING NEW.revision;
    IF follows IS NOT TRUE THEN
        RAISE EXCEPTION 'the revision of an update follows the head';
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION kya_follow_the_keys() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    refused BOOLEAN;
BEGIN
    EXECUTE format(
        'SELECT EXISTS (SELECT FROM %1$I.key_steps WHERE revision >= $1)
             OR ($2 AND $3 <= (SELECT max(serial) FROM %1$I.key_steps))', TG_TABLE_SCHEMA)
        INTO refused USING NEW.revision, NEW.signed IS NOT NULL, NEW.serial;
    IF refused THEN
        RAISE EXCEPTION 'a step with the keys follows the one before, and has a higher serial';
    END IF;
    RETURN NEW;
END $$;

-- Not for rows that a dump puts back: `pg_restore` makes triggers last.
CREATE TRIGGER updates_are_gapless BEFORE INSERT ON updates
FOR EACH ROW EXECUTE FUNCTION kya_follow_the_head();
CREATE TRIGGER key_steps_follow_each_other BEFORE INSERT ON key_steps
FOR EACH ROW EXECUTE FUNCTION kya_follow_the_keys();
