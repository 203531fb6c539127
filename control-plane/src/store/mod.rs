//! The durable registry.
//!
//! **Invariant.** A change, its event and the update that will be pushed are one
//! transaction, and the revision comes from that same transaction: it is gapless
//! from 1 for the life of the store, and whoever reads the updates in order reads
//! everything that was ever committed.
//!
//! Whoever opens the store and cannot be sure that it is the one that was served
//! last begins a new **epoch**, durably, before anything is read from it; revisions
//! go on without a gap. A store that was put back from a backup counts some
//! revisions a second time, and only the epoch tells the second from the first. An
//! update keeps the epoch in which it was committed. With SQLite every opening
//! begins one; PostgreSQL, which several servers share, has [a rule](postgres).

mod approvals;
pub mod audit;
mod commits;
mod delegation;
mod drills;
mod error;
mod figures;
mod idempotency;
mod issuer;
mod key_log;
mod kills;
mod limits;
mod model;
mod operators;
pub mod policies;
pub mod postgres;
mod rules;
pub mod schedules;
mod servers;
mod sql;
mod sqlite;
mod stops;

use async_trait::async_trait;
use kya_core::policy::PolicyReference;
use kya_core::{
    ActionName, AgentId, GrantIndex, NodeCredentialDigest, OperatorKeyDigest, PolicyId,
    PolicyVersion, Position, PrincipalId, PublicKey, Revision, Status, TokenId, UnixSeconds, wire,
};
use tokio::sync::mpsc;

use crate::labels::Selector;
use crate::nodes::NodeName;
use crate::operators::OperatorName;
use crate::principals::PrincipalKey;

pub use approvals::{
    APPROVAL_TTL, Approval, ApprovalError, ApprovalStore, MAX_PENDING_APPROVALS,
    MAX_PENDING_OF_AN_OPERATOR, Restorable, Restoration, Restored, Settled, Verdict,
};
pub use commits::Commits;
pub use delegation::{DelegationError, Descendant, NewSuccessor, TokenBatch, TokenSelection};
pub use drills::{Canary, Drill, DrillState, DrillStore, EndedDrill, NewDrill};
pub(crate) use drills::{is_reason as is_drill_reason, reason as drill_reason};
pub use error::StoreError;
pub use idempotency::{
    IdempotencyStore, KEYS_KEPT, KeyState, KeyedRequest, MAX_KEYS_OF_AN_OPERATOR,
};
pub use issuer::{
    CapabilityToken, CapabilityTokenStore, Issuer, IssuerChange, IssuerError, NewCapabilityToken,
    TokenKey, UsedAssertion,
};
pub use key_log::{KeyAction, KeyChange, KeyStep, NewKeyStep};
pub(crate) use kills::stops;
pub use kills::{Kill, KillFilter, KillReach, KillStore, LISTED_AGENTS};
pub use limits::{LimitsError, MAX_GRANTS, ServiceName, TokenLimits};
pub(crate) use model::NODE_REVOKED;
pub use model::{
    Agent, Cause, Committed, Event, NewAgent, NewNode, NewToken, NodeOutcome, NodeRegistration,
    Outcome, RECORDS_A_PAGE, StatusAction, StoredUpdate, Token, in_flight_from_name,
    in_flight_name, status_from_name, status_name,
};
pub use operators::{NewOperator, OperatorOutcome, OperatorRecord, RevokedOperator};
pub use policies::{
    Expected, MAX_POLICIES, Policy, PolicyChange, PolicyError, PolicyOf, PolicyStep,
};
pub use postgres::{DatabaseUrl, PostgresStore};
pub use rules::MAX_STOPPED_CAPABILITIES;
pub use servers::{ServerRow, ServerStore};
pub use sqlite::{BackupError, SqliteStore, back_up, restore, restore_trail};
pub use stops::{
    AgentFilter, AgentKey, AgentSort, Batch, Capability, Decided, Fleet, FleetAction, NewPrincipal,
    Owner, Preview, Principal, Reach, ShownStatus, StopError, Target,
};

/// Where pages of records go.
pub type Pages = mpsc::Sender<Vec<wire::Change>>;

/// Where the registry is kept. Every method is safe to call from many tasks;
/// writes take place one after the other.
#[async_trait]
pub trait Store:
    ApprovalStore + CapabilityTokenStore + DrillStore + IdempotencyStore + KillStore + ServerStore
{
    /// The newest committed revision, 0 in an empty store, in the present epoch; and
    /// when it was committed. A change that comes next is committed in this epoch,
    /// at the revision after this one, unless somebody begins another epoch before.
    async fn head(&self) -> Result<Committed, StoreError>;

    /// Registers an agent, active, with a grant of its own.
    async fn register_agent(
        &self,
        new: NewAgent,
        cause: Cause,
    ) -> Result<Outcome<Agent>, StoreError>;

    /// Revokes, suspends or restores an agent. Doing it again changes nothing,
    /// unless requests in flight are to be aborted now and were not before.
    async fn decide_agent(
        &self,
        agent: AgentId,
        action: StatusAction,
        cause: Cause,
    ) -> Result<Outcome<Agent>, StoreError>;

    /// Issues a token, to an active agent only.
    async fn issue_token(&self, new: NewToken, cause: Cause) -> Result<Outcome<Token>, StoreError>;

    /// Revokes a token. Doing it again changes nothing.
    async fn revoke_token(
        &self,
        token: TokenId,
        cause: Cause,
    ) -> Result<Outcome<Token>, StoreError>;

    /// The agent with this id.
    async fn agent(&self, id: AgentId) -> Result<Agent, StoreError>;

    /// Up to `limit` agents that come after `after`, in the order that the filter says.
    /// Where that is not by id, there must be such an agent.
    async fn agents(
        &self,
        filter: AgentFilter,
        after: Option<AgentId>,
        limit: u32,
    ) -> Result<Vec<Agent>, StoreError>;

    /// Up to `limit` tokens with an id after `after`, ordered by id.
    async fn tokens(
        &self,
        holder: Option<AgentId>,
        after: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<Token>, StoreError>;

    /// Sends all authority at the newest position, with the tokens that expire
    /// after `horizon`, in pages of at most [`RECORDS_A_PAGE`]. Returns the
    /// position, or early if nobody takes the pages any more.
    async fn records(&self, horizon: UnixSeconds, pages: Pages) -> Result<Position, StoreError>;

    /// Up to `limit` updates after `revision`, in order.
    async fn updates_after(
        &self,
        revision: Revision,
        limit: u32,
    ) -> Result<Vec<StoredUpdate>, StoreError>;

    /// In which epoch and when this revision was committed, `None` if there is
    /// none.
    async fn committed(&self, revision: Revision) -> Result<Option<Committed>, StoreError>;

    /// Registers a node, under a name that is used for the first time. Like every change of a
    /// node registration it is no change of authority: it has an event and takes no revision.
    async fn register_node(
        &self,
        new: NewNode,
        cause: Cause,
    ) -> Result<NodeRegistration, StoreError>;

    /// Revokes a node registration. Doing it again changes nothing.
    async fn revoke_node(&self, name: NodeName, cause: Cause) -> Result<NodeOutcome, StoreError>;

    /// The registration with this credential, expired and revoked ones included.
    async fn node_by_credential(
        &self,
        digest: NodeCredentialDigest,
    ) -> Result<Option<NodeRegistration>, StoreError>;

    /// Up to `limit` node registrations with a name after `after`, ordered by
    /// the bytes of their names.
    async fn nodes(
        &self,
        after: Option<NodeName>,
        limit: u32,
    ) -> Result<Vec<NodeRegistration>, StoreError>;

    /// Takes a step in the replacement of the keys that sign updates. It is a
    /// change with a revision of its own, whose delta is empty.
    async fn take_key_step(
        &self,
        new: NewKeyStep,
        cause: Cause,
    ) -> Result<Outcome<KeyStep>, StoreError>;

    /// The steps after `revision`, in order; the newest thousand if there are
    /// more.
    async fn key_steps_after(&self, revision: Revision) -> Result<Vec<KeyStep>, StoreError>;

    /// Up to `limit` events with a sequence after `after`, in order.
    async fn events_after(&self, after: u64, limit: u32) -> Result<Vec<Event>, StoreError>;

    /// Adds an operator, under a name that is used for the first time and is not
    /// that of the built-in one. Like every change of an operator it is no change of
    /// authority: it has an event and takes no revision.
    async fn add_operator(
        &self,
        new: NewOperator,
        cause: Cause,
    ) -> Result<OperatorRecord, StoreError>;

    /// Revokes an operator's key: whoever asks for it from then on sees it revoked.
    /// Doing it again changes nothing.
    async fn revoke_operator(
        &self,
        name: OperatorName,
        cause: Cause,
    ) -> Result<OperatorOutcome, StoreError>;

    /// The operator with this key, expired and revoked ones included, as of the
    /// newest commit.
    async fn operator_by_key(
        &self,
        digest: OperatorKeyDigest,
    ) -> Result<Option<OperatorRecord>, StoreError>;

    /// Up to `limit` operators with a name after `after`, ordered by the bytes of
    /// their names.
    async fn operators(
        &self,
        after: Option<OperatorName>,
        limit: u32,
    ) -> Result<Vec<OperatorRecord>, StoreError>;

    /// Sequence of the newest event, 0 before the first.
    async fn newest_event(&self) -> Result<u64, StoreError>;

    /// The first key that signed for this store, and `key` from now on if none is
    /// on record. Where no other server can use the store nothing is recorded, and
    /// `key` is the answer.
    async fn first_key(&self, key: Option<PublicKey>) -> Result<Option<PublicKey>, StoreError>;

    /// Word of what this server and others commit.
    fn commits(&self) -> Commits;

    /// Adds a principal, active, under a name that is used for the first time.
    async fn add_principal(
        &self,
        new: NewPrincipal,
        cause: Cause,
    ) -> Result<Outcome<Principal>, StoreError>;

    /// Revokes, suspends or restores a principal, and so stops or puts back its
    /// agents, by one record. Doing it again changes nothing, as with an agent.
    async fn decide_principal(
        &self,
        principal: PrincipalKey,
        action: StatusAction,
        cause: Cause,
    ) -> Result<Outcome<Principal>, StoreError>;

    /// Revokes, suspends or restores one action of an agent. At most
    /// [`MAX_STOPPED_CAPABILITIES`] of an agent are stopped.
    async fn decide_capability(
        &self,
        agent: AgentId,
        name: ActionName,
        action: StatusAction,
        cause: Cause,
    ) -> Result<Outcome<Capability>, StoreError>;

    /// Halts everyone, or ends that. Where nothing was to be done and nothing was
    /// ever decided, the outcome has the newest commit.
    async fn decide_fleet(
        &self,
        action: FleetAction,
        cause: Cause,
    ) -> Result<Outcome<Fleet>, StoreError>;

    /// Revokes or suspends agents with an id after `after` that have these labels, in
    /// one revision of at most [`MAX_CHANGES`](kya_core::MAX_CHANGES). Each has an
    /// event of its own beside that of the selection.
    async fn decide_agents(
        &self,
        selector: Selector,
        after: Option<AgentId>,
        action: StatusAction,
        cause: Cause,
    ) -> Result<Batch, StoreError>;

    /// The principal of this id or name.
    async fn principal(&self, key: PrincipalKey) -> Result<Principal, StoreError>;

    /// Up to `limit` principals with an id after `after`, ordered by id.
    async fn principals(
        &self,
        status: Option<Status>,
        after: Option<PrincipalId>,
        limit: u32,
    ) -> Result<Vec<Principal>, StoreError>;

    /// What was decided about single actions of an agent, by the names of these.
    /// There are no more than twice [`MAX_STOPPED_CAPABILITIES`].
    async fn capabilities(&self, agent: AgentId) -> Result<Vec<Capability>, StoreError>;

    /// Changes a policy, by a version that is written in one transaction with what is
    /// pushed. What it says already changes nothing.
    async fn change_policy(
        &self,
        change: PolicyChange,
        expected: Option<Expected>,
        cause: Cause,
    ) -> Result<Outcome<Policy>, StoreError>;

    /// Puts an agent that is not revoked under this policy, or under none.
    async fn assign_policy(
        &self,
        agent: AgentId,
        policy: Option<PolicyReference>,
        cause: Cause,
    ) -> Result<Outcome<Agent>, StoreError>;

    /// A policy in this version, or in the one that counts.
    async fn policy(
        &self,
        policy: PolicyReference,
        version: Option<PolicyVersion>,
    ) -> Result<Policy, StoreError>;

    /// Up to `limit` policies with an id after `after`, ordered by id, each in the
    /// version that counts.
    async fn policies(
        &self,
        after: Option<PolicyId>,
        limit: u32,
    ) -> Result<Vec<Policy>, StoreError>;

    /// Up to `limit` versions of a policy before `before`, the newest first.
    async fn policy_versions(
        &self,
        policy: PolicyReference,
        before: Option<PolicyVersion>,
        limit: u32,
    ) -> Result<Vec<Policy>, StoreError>;

    /// What was decided about everyone.
    async fn fleet(&self) -> Result<Fleet, StoreError>;

    /// Whom a stop that is aimed there reaches.
    async fn reach(&self, target: Target) -> Result<Reach, StoreError>;

    /// What a stop would do, or why it would be refused. Nothing is written.
    async fn preview(&self, target: Target, action: StatusAction) -> Result<Preview, StoreError>;

    /// Registers an agent in the place of one that is revoked, or is by the same
    /// revision. It is of the same owner, labels, parent and expiry, where no other are
    /// given. That one keeps its record and its events, and has no second successor.
    async fn replace_agent(
        &self,
        new: NewSuccessor,
        cause: Cause,
    ) -> Result<Outcome<Agent>, StoreError>;

    /// Takes back all tokens of an agent that were issued until now, by one record.
    /// Those that are issued later count.
    async fn supersede_tokens(
        &self,
        agent: AgentId,
        cause: Cause,
    ) -> Result<Outcome<Agent>, StoreError>;

    /// Revokes the selected tokens with an id after `after`, in one revision of at most
    /// [`MAX_CHANGES`](kya_core::MAX_CHANGES). Each has an event of its own beside that
    /// of the selection.
    async fn revoke_tokens(
        &self,
        selection: TokenSelection,
        after: Option<TokenId>,
        cause: Cause,
    ) -> Result<TokenBatch, StoreError>;

    /// An agent and up to `limit` of all that act for it, those above first.
    async fn descendants(&self, agent: AgentId, limit: u32) -> Result<Vec<Descendant>, StoreError>;

    /// The grant of an agent that is for everything that it may do.
    async fn unlimited_grant(&self, agent: AgentId) -> Result<GrantIndex, StoreError>;

    /// Adds to the events that agents have expired, up to `limit` of those of whom it
    /// is not there yet, and says of how many it did. It changes no authority: what is
    /// expired is by its own time.
    async fn note_expired(&self, limit: u32) -> Result<u64, StoreError>;

    /// Finishes what was begun and closes. Later calls fail.
    async fn close(&self);
}
