-- Lists of agents in other orders than that of their ids.
-- Names are sorted by their bytes, whatever the language of the database.
ALTER TABLE agents ALTER COLUMN name TYPE TEXT COLLATE "C";
CREATE INDEX agents_by_name ON agents (name, id);
CREATE INDEX agents_by_creation ON agents (created_us, id);
-- Those that never expire come last.
CREATE INDEX agents_by_expiry ON agents (coalesce(expires_s, 9223372036854775807), id);
