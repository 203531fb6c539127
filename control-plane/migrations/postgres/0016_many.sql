-- What an agent makes many of must not slow down whoever stops it.
CREATE INDEX capability_tokens_by_issue ON capability_tokens (agent_id, issued_s);
CREATE INDEX tokens_by_issue ON tokens (agent_id, issued_us);
DROP INDEX capability_tokens_by_expiry;
CREATE INDEX capability_tokens_to_forget ON capability_tokens (expires_s)
    WHERE revoked_us IS NULL;
CREATE INDEX capability_tokens_taken_back ON capability_tokens (expires_s)
    WHERE revoked_us IS NOT NULL;
CREATE INDEX approvals_that_wait ON approvals (id) WHERE verdict IS NULL;
