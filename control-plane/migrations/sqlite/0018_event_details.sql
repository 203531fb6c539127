-- From where it was done, and what the subject was like before and after, as JSON.
ALTER TABLE events ADD COLUMN address TEXT;
ALTER TABLE events ADD COLUMN before TEXT;
ALTER TABLE events ADD COLUMN after TEXT;
