//! The records of the registry.

use kya_core::policy::PolicyReference;
use kya_core::{
    AgentId, GrantIndex, InFlight, NodeCredentialDigest, Position, PublicKey, Revision, Standing,
    Status, TokenDigest, TokenId, UnixSeconds, wire,
};
use wire::change::Change;

use super::{Owner, PolicyOf, TokenLimits};
use crate::labels::Labels;
use crate::nodes::{NodeName, NodePattern};
use crate::principals::PrincipalKey;
use crate::time::UnixMicros;

/// Most records in one page of [`Store::records`](super::Store::records).
pub const RECORDS_A_PAGE: usize = 4096;

/// An agent, as registered and as decided about since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// What people call it. Not unique.
    pub name: String,
    /// What was decided about it.
    pub status: Status,
    /// What becomes of its requests in flight while it is not active.
    pub in_flight: InFlight,
    /// Its own key, if it registered one.
    pub public_key: Option<PublicKey>,
    /// On whose behalf it acts, if on anybody's.
    pub owner: Option<Owner>,
    /// The agent that it acts for, if for any.
    pub parent: Option<AgentId>,
    /// Whose place it took.
    pub replaces: Option<AgentId>,
    /// Who took its place.
    pub replaced_by: Option<AgentId>,
    /// How it can be found.
    pub labels: Labels,
    /// It is expired from this second on; never, if there is none.
    pub expires: Option<UnixSeconds>,
    /// Its tokens count only if they were issued after this second; 0 is no bound.
    pub tokens_not_before: UnixSeconds,
    /// What says what it may do, if anything does.
    pub policy: Option<PolicyOf>,
    /// Revision at which it was put under that policy, if not when it was registered.
    pub policy_revision: Option<Revision>,
    /// When it was registered.
    pub created_at: UnixMicros,
    /// When it was revoked, if it was.
    pub revoked_at: Option<UnixMicros>,
    /// When its status last changed; registering counts.
    pub status_changed_at: UnixMicros,
    /// Name of the operator that last changed it.
    pub status_actor: String,
    /// Why it last changed.
    pub status_reason: Option<String>,
    /// The incident that the last change belongs to.
    pub incident_id: Option<String>,
    /// Revision at which its status last changed.
    pub revision: Revision,
}

/// An opaque token, without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its public name.
    pub id: TokenId,
    /// SHA-256 of the token.
    pub digest: TokenDigest,
    /// Who it was issued to.
    pub agent_id: AgentId,
    /// What it stands for.
    pub grant: GrantIndex,
    /// The only services and actions that it is for.
    pub limits: TokenLimits,
    /// True if all of its holder's tokens were taken back after it was issued.
    pub superseded: bool,
    /// When it was issued. After all tokens were taken back, the next one is not issued
    /// within the same second, and says so: proxies know whole seconds.
    pub issued_at: UnixMicros,
    /// It is expired from this second on.
    pub expires: UnixSeconds,
    /// When it was revoked, if it was.
    pub revoked_at: Option<UnixMicros>,
    /// Revision of its last change.
    pub revision: Revision,
}

/// An agent to be registered.
#[derive(Debug, Clone)]
pub struct NewAgent {
    /// A fresh id.
    pub id: AgentId,
    /// What people call it.
    pub name: String,
    /// Its own key, if it has one.
    pub public_key: Option<PublicKey>,
    /// On whose behalf it is to act. That of the parent, where there is one.
    pub owner: Option<PrincipalKey>,
    /// The agent that it is to act for.
    pub parent: Option<AgentId>,
    /// How it can be found.
    pub labels: Labels,
    /// When it is to expire.
    pub expires: Option<UnixSeconds>,
    /// What is to say what it may do.
    pub policy: Option<PolicyReference>,
}

impl NewAgent {
    /// An agent of this name, and nothing else.
    pub fn named(id: AgentId, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            public_key: None,
            owner: None,
            parent: None,
            labels: Labels::default(),
            expires: None,
            policy: None,
        }
    }
}

/// A token to be issued.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// A fresh id.
    pub id: TokenId,
    /// SHA-256 of the token.
    pub digest: TokenDigest,
    /// Who gets it.
    pub agent_id: AgentId,
    /// What it is to be for.
    pub limits: TokenLimits,
    /// How many seconds it counts, from now by the store's clock. Not from the
    /// time of the commit, which may be ahead of that clock.
    pub ttl_seconds: u64,
}

/// A proxy, or a group of proxies, that may connect; without its credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRegistration {
    /// What it is called, for ever: no other registration gets the name.
    pub name: NodeName,
    /// Which `node.id` it may connect as.
    pub node_id: NodePattern,
    /// SHA-256 of the credential.
    pub digest: NodeCredentialDigest,
    /// When it was registered.
    pub created_at: UnixMicros,
    /// It is expired from this second on; never, if there is none.
    pub expires: Option<UnixSeconds>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<UnixMicros>,
    /// Name of the operator that revoked it.
    pub revoked_by: Option<String>,
    /// Why it was revoked.
    pub revoked_reason: Option<String>,
    /// The incident that the revocation belongs to.
    pub incident_id: Option<String>,
}

/// The event by which a node registration is revoked.
pub(crate) const NODE_REVOKED: &str = "node.revoked";

/// A node to be registered.
#[derive(Debug, Clone)]
pub struct NewNode {
    /// A name that no registration has had.
    pub name: NodeName,
    /// Which `node.id` it may connect as.
    pub node_id: NodePattern,
    /// SHA-256 of the credential.
    pub digest: NodeCredentialDigest,
    /// How many seconds it counts, from now by the store's clock.
    pub ttl_seconds: Option<u64>,
}

/// What became of a change of a node registration, which is no change of
/// authority and has no revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeOutcome {
    /// The registration as it is now.
    pub record: NodeRegistration,
    /// False when it already was as asked, and nothing was written.
    pub changed: bool,
}

/// What can be decided about an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusAction {
    /// Never again; and what becomes of requests in flight.
    Revoke(InFlight),
    /// Not for now; and what becomes of requests in flight.
    Suspend(InFlight),
    /// Again, if it was only suspended.
    Restore,
}

/// Who wants a change, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cause {
    /// Name of the operator that asks.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The incident that it belongs to.
    pub incident_id: Option<String>,
    /// Address that the request came from, where one did. It is kept with the event alone.
    pub address: Option<String>,
    /// Role of that operator. It is kept with the kill alone, if it is one.
    pub role: Option<String>,
}

/// A place in the order of changes, and when it was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Committed {
    /// The position.
    pub position: Position,
    /// Time of the commit. It never decreases as the position grows.
    pub at: UnixMicros,
}

/// What became of a change that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<T> {
    /// The record as it is now.
    pub record: T,
    /// False when it already was as asked, and nothing was written.
    pub changed: bool,
    /// The commit that made it so: this one, or the original one.
    pub committed: Committed,
}

/// A committed update, as it is to be pushed.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredUpdate {
    /// Where it leads to.
    pub committed: Committed,
    /// What it changes.
    pub delta: wire::Delta,
}

/// One row of the log of what was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Place in the log, growing.
    pub sequence: u64,
    /// The commit that it was part of. Of what changes no authority, as with the
    /// registration of a node: the newest position then, and its own time.
    pub committed: Committed,
    /// What was done, for example `agent.revoked`.
    pub action: String,
    /// Written id, or name, of whom or what it was done to.
    pub subject: String,
    /// Who did it, and why.
    pub cause: Cause,
    /// What it was like before, where it was there.
    pub before: Option<serde_json::Value>,
    /// What it is like since then.
    pub after: Option<serde_json::Value>,
}

/// The stored and shown name of a status.
pub const fn status_name(status: Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Suspended => "suspended",
        Status::Revoked => "revoked",
    }
}

/// The status with this name.
pub fn status_from_name(name: &str) -> Option<Status> {
    [Status::Active, Status::Suspended, Status::Revoked]
        .into_iter()
        .find(|status| status_name(*status) == name)
}

/// The stored and shown name of what becomes of requests in flight.
pub const fn in_flight_name(in_flight: InFlight) -> &'static str {
    match in_flight {
        InFlight::Abort => "abort",
        InFlight::Drain => "drain",
    }
}

/// What becomes of requests in flight, by its name.
pub fn in_flight_from_name(name: &str) -> Option<InFlight> {
    [InFlight::Abort, InFlight::Drain].into_iter().find(|it| in_flight_name(*it) == name)
}

impl Agent {
    /// The agent as the protocol carries it.
    pub fn to_wire(&self) -> Change {
        let standing = Standing {
            status: self.status,
            not_before: UnixSeconds(last_second(self.tokens_not_before)),
            in_flight: self.in_flight,
        };
        Change::Agent(wire::Agent {
            id: self.id.to_bytes().to_vec(),
            standing: Some(standing.into()),
            principal_id: self.owner.as_ref().map_or_else(Vec::new, Owner::bytes),
            expires_unix_seconds: self.expires.map_or(0, last_second),
            parent_id: self.parent.map_or_else(Vec::new, |id| id.to_bytes().to_vec()),
            suspended_unix_seconds: self.drains_since().map_or(0, |second| second.0),
            policy_id: self.policy.as_ref().map_or_else(Vec::new, |it| it.id.to_bytes().to_vec()),
        })
    }

    /// Since when it is suspended so that work in flight may end, if it is: capability
    /// tokens that were issued up to then count for the drain window.
    pub fn drains_since(&self) -> Option<UnixSeconds> {
        let drains = (self.status, self.in_flight) == (Status::Suspended, InFlight::Drain);
        drains.then(|| UnixSeconds(last_second(self.status_changed_at.seconds())))
    }

    /// True from the second of its expiry on.
    pub fn is_expired(&self, now: UnixMicros) -> bool {
        self.expires.is_some_and(|expires| expires <= now.seconds())
    }
}

impl Token {
    /// The token as the protocol carries it.
    pub fn to_wire(&self) -> Change {
        let times = (self.issued_at, self.expires);
        token_to_wire(self.digest, self.grant, times, self.revoked_at.is_some())
    }

    /// True if it was neither revoked nor superseded, and is not expired.
    pub fn counts(&self, now: UnixMicros) -> bool {
        self.revoked_at.is_none() && !self.superseded && self.expires > now.seconds()
    }
}

/// A token as the protocol carries it.
pub(super) fn token_to_wire(
    digest: TokenDigest,
    grant: GrantIndex,
    (issued_at, expires): (UnixMicros, UnixSeconds),
    revoked: bool,
) -> Change {
    Change::Token(wire::Token {
        digest: digest.0.to_vec(),
        grant: grant.get(),
        issued_unix_seconds: last_second(issued_at.seconds()),
        expires_unix_seconds: last_second(expires),
        revoked,
    })
}

impl NodeRegistration {
    /// True from the second of its expiry on.
    pub fn is_expired(&self, now: UnixMicros) -> bool {
        self.expires.is_some_and(|expires| expires <= now.seconds())
    }
}

/// The protocol counts seconds up to the year 2106.
fn last_second(at: UnixSeconds) -> u64 {
    at.0.min(u32::MAX.into())
}
