//! What can be stopped besides one agent and one token, and whom a stop reaches.

use kya_core::policy::PolicyReference;
use kya_core::{
    ActionName, AgentId, Id, IdKind, InFlight, PrincipalId, Revision, Standing, Status, TokenId,
    UnixSeconds, wire,
};
use thiserror::Error;
use wire::change::Change;

use super::{Committed, MAX_STOPPED_CAPABILITIES, TokenSelection};
use crate::labels::Selector;
use crate::principals::{PrincipalKey, PrincipalName};
use crate::time::{UnixMicros, second_start};

/// What was decided last about a principal, a capability or the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Whether it may act.
    pub status: Status,
    /// What becomes of requests in flight while it may not.
    pub in_flight: InFlight,
    /// When that was decided.
    pub changed_at: UnixMicros,
    /// When it was revoked, if it was.
    pub revoked_at: Option<UnixMicros>,
    /// Why.
    pub reason: Option<String>,
    /// The incident that the decision belongs to.
    pub incident_id: Option<String>,
    /// Revision of the decision.
    pub revision: Revision,
}

/// Who delegates to agents: a person or a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its id.
    pub id: PrincipalId,
    /// What it is called, for ever: no other principal gets the name.
    pub name: PrincipalName,
    /// When it was added.
    pub created_at: UnixMicros,
    /// What was decided about it.
    pub decided: Decided,
}

/// A principal to be added.
#[derive(Debug, Clone)]
pub struct NewPrincipal {
    /// A fresh id.
    pub id: PrincipalId,
    /// A name that no principal has had.
    pub name: PrincipalName,
}

/// The principal of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its id.
    pub id: PrincipalId,
    /// What it is called.
    pub name: PrincipalName,
    /// What was decided about it.
    pub status: Status,
}

/// One action of one agent about which something was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// Whose action it is.
    pub agent_id: AgentId,
    /// Which.
    pub action: ActionName,
    /// What was decided about it.
    pub decided: Decided,
}

/// Everyone. Never revoked, because nothing would bring a fleet back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// What was decided; `None` as long as nobody has.
    pub decided: Option<Decided>,
}

/// What can be decided about the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetAction {
    /// Nobody may act; and what becomes of requests in flight.
    Halt(InFlight),
    /// All may act again of whom nothing else was decided.
    Resume,
}

/// Whom or what a stop is aimed at.
#[derive(Debug, Clone)]
pub enum Target {
    /// Everyone.
    Fleet,
    /// A principal, and so its agents.
    Principal(PrincipalKey),
    /// An agent.
    Agent(AgentId),
    /// One action of an agent.
    Capability(AgentId, ActionName),
    /// A token.
    Token(TokenId),
    /// A policy, and so the agents under it.
    Policy(PolicyReference),
    /// The agents with these labels.
    Agents(Selector),
    /// All tokens of an agent that were issued until now.
    TokensOf(AgentId),
    /// These tokens.
    Tokens(TokenSelection),
}

/// Whom a stop reaches: agents that are neither revoked nor expired, and their
/// tokens that are neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// How many agents.
    pub agents: u64,
    /// How many tokens.
    pub tokens: u64,
}

/// What a stop would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preview {
    /// False if it already is so.
    pub changes: bool,
    /// Whom it would reach.
    pub reach: Reach,
}

/// Which agents are listed, and in which order.
#[derive(Debug, Clone, Default)]
pub struct AgentFilter {
    /// Those of this status.
    pub status: Option<ShownStatus>,
    /// Those of this principal.
    pub owner: Option<PrincipalKey>,
    /// Those with these labels.
    pub selector: Option<Selector>,
    /// Those that act for this agent, and not for one below it.
    pub parent: Option<AgentId>,
    /// Those under this policy.
    pub policy: Option<PolicyReference>,
    /// In which order.
    pub sort: AgentSort,
}

/// An order of agents. Of those that have the same there, the ids decide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AgentSort {
    /// By what.
    pub by: AgentKey,
    /// The last first.
    pub descending: bool,
}

/// What agents are sorted by. It stays as it was registered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AgentKey {
    /// Their ids, which is by age as far as clocks agree.
    #[default]
    Id,
    /// The bytes of their names.
    Name,
    /// When they were registered.
    Created,
    /// When they expire; those that never do come last.
    Expires,
}

impl AgentSort {
    /// `name`, `created` or `expires`, for the last first with `-` before it.
    pub fn from_name(name: &str) -> Option<Self> {
        let by = match name.strip_prefix('-').unwrap_or(name) {
            "name" => AgentKey::Name,
            "created" => AgentKey::Created,
            "expires" => AgentKey::Expires,
            _ => return None,
        };
        Some(Self { by, descending: name.starts_with('-') })
    }
}

/// The status of an agent at some time. What is revoked is shown as that, and
/// anything else that is expired as that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownStatus {
    /// What was decided.
    Decided(Status),
    /// Its time is over.
    Expired,
}

/// One revision of a decision about many agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Agents that were changed.
    pub changed: u64,
    /// Agents that already were so, or were revoked.
    pub unchanged: u64,
    /// The commit that made it so: this one, or the last of those that did before.
    /// `None` if no agent was meant.
    pub committed: Option<Committed>,
    /// Where to go on, if the revision is full.
    pub next: Option<AgentId>,
}

/// Why somebody or something was not stopped, put back or added.
#[derive(Debug, Error)]
pub enum StopError {
    /// What is expired gets no tokens.
    #[error(
        "{agent} is expired since {}; tokens are issued to active agents only: register a successor",
        second_start(*.at).to_rfc3339()
    )]
    AgentExpired {
        /// Who was to get one.
        agent: AgentId,
        /// The second from which on it is expired.
        at: UnixSeconds,
    },
    /// No such principal.
    #[error("there is no principal {0}")]
    NoSuchPrincipal(PrincipalKey),
    /// Names of principals are used once.
    #[error(
        "there is, or was, a principal {0}: its name is not used again, so that what was revoked stays so; take another one"
    )]
    PrincipalNameTaken(PrincipalName),
    /// A revoked principal stays revoked.
    #[error("the principal {0} is revoked, which is final; add another one under another name")]
    PrincipalRevokedIsFinal(PrincipalName),
    /// Who may not act has nobody act, and gets no agents and no tokens for them.
    #[error(
        "the principal {principal} is {}; only an active one gets agents, and tokens for them",
        super::status_name(*.status)
    )]
    PrincipalNotActive {
        /// Who.
        principal: PrincipalName,
        /// What was decided about it.
        status: Status,
    },
    /// A revoked capability stays revoked.
    #[error(
        "{action} is revoked for {agent}, which is final: only a suspended capability can be restored; register a successor of the agent instead"
    )]
    CapabilityRevokedIsFinal {
        /// Whose.
        agent: AgentId,
        /// Which.
        action: ActionName,
    },
    /// Each proxy keeps them all.
    #[error(
        "{0} has {MAX_STOPPED_CAPABILITIES} stopped capabilities, and that is the most: suspend or revoke the agent itself"
    )]
    TooManyCapabilities(AgentId),
}

impl Decided {
    /// As the protocol carries it.
    pub fn standing(&self) -> Standing {
        Standing { in_flight: self.in_flight, ..Standing::new(self.status) }
    }
}

impl ShownStatus {
    /// Its stored and shown name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decided(status) => super::status_name(status),
            Self::Expired => "expired",
        }
    }

    /// The status with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "expired" => Some(Self::Expired),
            name => super::status_from_name(name).map(Self::Decided),
        }
    }
}

impl super::Agent {
    /// Its status as it is shown at `now`.
    pub fn shown_status(&self, now: UnixMicros) -> ShownStatus {
        match self.status {
            Status::Active | Status::Suspended if self.is_expired(now) => ShownStatus::Expired,
            status => ShownStatus::Decided(status),
        }
    }
}

impl Owner {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        bytes(self.id)
    }
}

impl Principal {
    /// The principal as the protocol carries it.
    pub fn to_wire(&self) -> Change {
        let standing = Some(self.decided.standing().into());
        Change::Principal(wire::Principal { id: bytes(self.id), standing })
    }
}

impl Capability {
    /// The capability as the protocol carries it.
    pub fn to_wire(&self) -> Change {
        Change::Capability(wire::Capability {
            agent_id: bytes(self.agent_id),
            action: self.action.to_string(),
            standing: Some(self.decided.standing().into()),
        })
    }
}

impl Fleet {
    /// Whether it may act.
    pub fn status(&self) -> Status {
        self.decided.as_ref().map_or(Status::Active, |decided| decided.status)
    }
}

/// The fleet as the protocol carries it.
pub(crate) fn fleet_to_wire(decided: &Decided) -> Change {
    Change::Fleet(wire::Fleet { standing: Some(decided.standing().into()) })
}

fn bytes<K: IdKind>(id: Id<K>) -> Vec<u8> {
    id.to_bytes().to_vec()
}
