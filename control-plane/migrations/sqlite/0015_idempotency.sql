-- Requests that were made under a key of their operator, so that none is done twice. Keys
-- and requests are digests; no outcome holds a secret.
CREATE TABLE keyed_requests (
    operator TEXT NOT NULL CHECK (length(operator) BETWEEN 1 AND 256),
    key_digest BLOB NOT NULL CHECK (length(key_digest) = 32),
    request_digest BLOB NOT NULL CHECK (length(request_digest) = 32),
    began_s INTEGER NOT NULL,
    -- None while it is under way, and for ever if nobody knows what came of it.
    outcome TEXT CHECK (length(outcome) <= 262144),
    PRIMARY KEY (operator, key_digest)
) STRICT;
CREATE INDEX keyed_requests_by_begin ON keyed_requests (began_s);
CREATE INDEX keyed_requests_by_operator ON keyed_requests (operator, began_s);
