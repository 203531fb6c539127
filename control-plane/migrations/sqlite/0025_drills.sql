-- Drills: who had a canary stopped to see who hears of it, how far that is, and what was
-- found.
CREATE TABLE drills (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    state TEXT NOT NULL
        CHECK (state IN ('running', 'stopping', 'passed', 'failed', 'interrupted')),
    started_us INTEGER NOT NULL,
    -- When the server that runs it last said that it does.
    alive_us INTEGER NOT NULL,
    ended_us INTEGER,
    -- The server that runs it.
    server TEXT NOT NULL,
    actor TEXT NOT NULL,
    role TEXT,
    address TEXT,
    request TEXT NOT NULL,
    -- What must not stay when it ends.
    canary BLOB CHECK (length(canary) = 16),
    token BLOB CHECK (length(token) = 16),
    -- Samples that are over.
    done INTEGER NOT NULL DEFAULT 0,
    result TEXT,
    samples TEXT,
    CHECK ((ended_us IS NULL) = (state IN ('running', 'stopping')))
) STRICT;
CREATE INDEX drills_that_run ON drills (id) WHERE ended_us IS NULL;
