-- Servers that use this database, each as it said last. One that ends in order removes its
-- row; one whose row is old is gone without a word.
CREATE TABLE servers (
    -- Its machine and its data directory: the same after it was started again.
    name TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    started_us INTEGER NOT NULL,
    seen_us INTEGER NOT NULL,
    -- Newest revision that it has handed to its streams.
    revision INTEGER NOT NULL,
    -- Whether it hands out what is committed.
    publishes INTEGER NOT NULL CHECK (publishes IN (0, 1)),
    -- Whether the key that signs the audit trail is there.
    signs INTEGER NOT NULL CHECK (signs IN (0, 1)),
    -- Proxies that are connected to it.
    proxies INTEGER NOT NULL
) STRICT;
