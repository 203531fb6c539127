-- What keeps whoever holds the credential of one proxy from what others report.

-- By which node registration the first report of a worker came; others are refused.
ALTER TABLE audit_sources ADD COLUMN registration TEXT COLLATE "C";
-- The record which says that two report as this worker.
ALTER TABLE audit_sources ADD COLUMN conflict_seq BIGINT;
-- Requests that went on and that `audit_unended` had no room for.
ALTER TABLE audit_sources ADD COLUMN unremembered BIGINT NOT NULL DEFAULT 0;
CREATE INDEX audit_sources_alive ON audit_sources (node_id) WHERE state = 'alive';

-- What the numbers of each worker were taken with: 16 bytes of a SHA-256 for each, and
-- none for those that never came. Goes when the records are archived.
CREATE TABLE audit_taken (
    source BIGINT NOT NULL REFERENCES audit_sources (id),
    first BIGINT NOT NULL,
    last BIGINT NOT NULL CHECK (last >= first),
    -- The last of their records.
    seq BIGINT NOT NULL,
    hashes BYTEA NOT NULL CHECK (length(hashes) IN (0, 16 * (last - first + 1))),
    PRIMARY KEY (source, first)
);
CREATE INDEX audit_taken_by_seq ON audit_taken (seq);

-- The requests of one worker that one state concerns, and those that were lost with it.
CREATE INDEX audit_concerned_by_state ON audit_concerned (source, epoch, revision, number);
CREATE INDEX audit_concerned_lost ON audit_concerned (source, number) WHERE ending = 'lost';
