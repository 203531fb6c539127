//! What each operation is for, in a line: method, path, tag, summary.

/// Of operators, below the prefix.
pub(super) const SUMMARIES: &[(&str, &str, &str, &str)] = &[
    ("POST", "/agents", "Agents", "Register an agent"),
    ("GET", "/agents", "Agents", "List agents"),
    ("GET", "/agents/{agent_id}", "Agents", "Show an agent"),
    ("POST", "/agents/{agent_id}/revoke", "Agents", "Revoke an agent, for ever"),
    ("POST", "/agents/{agent_id}/suspend", "Agents", "Suspend an agent"),
    ("POST", "/agents/{agent_id}/restore", "Agents", "Restore a suspended agent"),
    ("POST", "/agents/{agent_id}/replace", "Agents", "Register an agent in the place of another"),
    ("POST", "/agents/{agent_id}/sub-agents", "Agents", "Register an agent that acts for another"),
    ("GET", "/agents/{agent_id}/tree", "Agents", "Show an agent and all that act for it"),
    ("POST", "/agents/revoke", "Agents", "Revoke every agent with these labels"),
    ("POST", "/agents/suspend", "Agents", "Suspend every agent with these labels"),
    (
        "GET",
        "/agents/{agent_id}/capabilities",
        "Agents",
        "List the actions of an agent about which something was decided",
    ),
    ("POST", "/agents/{agent_id}/capabilities/revoke", "Agents", "Revoke one action of an agent"),
    ("POST", "/agents/{agent_id}/capabilities/suspend", "Agents", "Suspend one action of an agent"),
    (
        "POST",
        "/agents/{agent_id}/capabilities/restore",
        "Agents",
        "Restore one suspended action of an agent",
    ),
    ("POST", "/agents/{agent_id}/policy", "Agents", "Put an agent under a policy, or under none"),
    ("POST", "/policies", "Policies", "Apply a policy"),
    ("GET", "/policies", "Policies", "List policies"),
    ("GET", "/policies/{policy}", "Policies", "Show a policy"),
    (
        "GET",
        "/policies/{policy}/versions",
        "Policies",
        "List the versions of a policy, the newest first",
    ),
    ("GET", "/policies/{policy}/diff", "Policies", "Compare two versions of a policy"),
    ("POST", "/policies/{policy}/rollback", "Policies", "Roll a policy back to an earlier version"),
    (
        "POST",
        "/policies/{policy}/revoke",
        "Policies",
        "Revoke a policy, and so stop every agent under it",
    ),
    ("POST", "/principals", "Principals", "Add a principal"),
    ("GET", "/principals", "Principals", "List principals"),
    ("GET", "/principals/{principal}", "Principals", "Show a principal"),
    (
        "POST",
        "/principals/{principal}/offboard",
        "Principals",
        "End every delegation of a principal, for ever",
    ),
    ("POST", "/principals/{principal}/suspend", "Principals", "Suspend a principal"),
    ("POST", "/principals/{principal}/restore", "Principals", "Restore a suspended principal"),
    ("GET", "/fleet", "Fleet", "Show whether everyone is halted"),
    ("POST", "/fleet/halt", "Fleet", "Halt every agent"),
    ("POST", "/fleet/resume", "Fleet", "End a halt"),
    ("POST", "/tokens", "Tokens", "Issue a token, which is shown once"),
    ("GET", "/tokens", "Tokens", "List tokens, never the tokens themselves"),
    ("POST", "/tokens/{token_id}/revoke", "Tokens", "Revoke a token"),
    ("POST", "/tokens/revoke", "Tokens", "Revoke many tokens"),
    ("POST", "/verify", "Decisions", "Ask whether a request would be allowed"),
    ("POST", "/nodes", "Proxies", "Register a proxy, whose credential is shown once"),
    ("GET", "/nodes", "Proxies", "List connected proxies and registrations"),
    ("POST", "/nodes/{name}/revoke", "Proxies", "Revoke the registration of a proxy"),
    ("GET", "/keys", "Signing keys", "List the keys that sign updates"),
    ("POST", "/keys/announce", "Signing keys", "Announce the next signing key"),
    ("POST", "/keys/activate", "Signing keys", "Activate the announced signing key"),
    ("POST", "/keys/retire", "Signing keys", "Retire the previous signing key"),
    ("POST", "/keys/compact", "Signing keys", "Shorten the chain of signing keys"),
    ("POST", "/operators", "Operators", "Add an operator, whose key is shown once"),
    ("GET", "/operators", "Operators", "List operators"),
    ("POST", "/operators/{name}/revoke", "Operators", "Revoke an operator"),
    ("GET", "/events", "Events", "List what was done, by whom, and why"),
    ("GET", "/whoami", "Operators", "Show who asks, and what they may do"),
    (
        "GET",
        "/revisions/{revision}/acknowledgements",
        "Acknowledgements",
        "Show which workers enforce a revision",
    ),
    ("POST", "/challenges", "Proxies", "Have proxies prove that they are armed"),
];

/// Of everyone else.
pub(super) const OTHERS: &[(&str, &str, &str, &str)] = &[
    ("POST", "/v1/enforcement/pull", "Enforcement", "What a proxy does not have yet (protobuf)"),
    (
        "POST",
        "/v1/enforcement/introspect",
        "Enforcement",
        "Where an unknown token would be found (protobuf)",
    ),
    ("GET", "/healthz", "Probes", "Whether the server runs"),
    ("GET", "/readyz", "Probes", "Whether it can commit and push"),
    ("GET", "/metrics", "Probes", "Metrics for Prometheus"),
    ("GET", "/openapi.json", "Documentation", "This document"),
    ("GET", "/docs", "Documentation", "This document, to be read in a browser"),
    ("GET", "/docs/style.css", "Documentation", "The style of that page"),
];

/// Tag and summary of an operation.
pub(super) fn of(
    table: &[(&'static str, &'static str, &'static str, &'static str)],
    method: &str,
    path: &str,
) -> Option<(&'static str, &'static str)> {
    let found = table.iter().find(|(m, p, ..)| (*m, *p) == (method, path));
    found.map(|(.., tag, summary)| (*tag, *summary))
}
