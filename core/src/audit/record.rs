//! What one line of the trail says. The names here are those in its JSON. `docs/audit.md`
//! has what whoever verifies a trail needs of them.
//!
//! Numbers are integers below 2^53, so that every JSON parser reads them alike
//! (RFC 8785 section 3.2.2.3). What may be larger is written as a hexadecimal text.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Timestamp;

mod kill;
mod missing;

pub use kill::{Activated, Completed, Scope};
pub use missing::{Closed, Conflict, Dropped, Gap, Lost};

/// One line of the trail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Place in the trail, from 1, without a gap. Its leaf in the Merkle tree is the one
    /// before: leaves are counted from 0.
    pub seq: u64,
    /// When it happened, by the clock of whoever saw it.
    pub time: Timestamp,
    /// When it was appended, by the control plane's clock.
    pub recorded: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What happened, by the `type` of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Entry {
    /// A request was decided.
    Decision(Box<Decided>),
    /// What became of a request that went on, where that was not known yet when its
    /// decision was reported.
    Ended(Ended),
    /// A worker has applied a state that may stop somebody.
    Applied(Applied),
    /// A request in flight that such a state concerns.
    InFlight(Concerned),
    /// Events of a worker that had no room.
    Dropped(Dropped),
    /// Events of a worker that never came.
    Gap(Gap),
    /// A number of a worker came again and says something else: two report as one worker.
    Conflict(Conflict),
    /// A worker is gone without having said that it was its last batch.
    WorkerLost(Lost),
    /// A worker has ended and said so: nothing of it is missing.
    WorkerClosed(Closed),
    /// Somebody did something by the HTTP API.
    Admin(Box<Administered>),
    /// Somebody stopped something: the first row of a kill.
    KillActivated(Activated),
    /// What that reached: the second row.
    KillScope(Scope),
    /// What was in flight then and how it ended: the last of the third rows.
    KillCompleted(Completed),
    /// A key that signs checkpoints from here on.
    Key(KeyNamed),
    /// A key that is to sign them later: until a record `key` names it, it signs nothing.
    KeyAnnounced(KeyNamed),
    /// Records that were exported as a sealed segment, and may be removed.
    Archived(Archived),
    /// The registry was put back from a backup: acts in between may be in the trail
    /// that the registry does not know. Or the trail itself was.
    Restored(Restored),
}

/// Which worker of which proxy reported it, and as its how manieth event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Envoy's `node.id`.
    pub proxy: String,
    /// Slot of the worker in its proxy.
    pub worker: u32,
    /// Random identity of the worker's VM, 16 hexadecimal digits.
    pub instance: String,
    /// Number among the events of that instance, from 1.
    pub number: u64,
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It went on, as this agent's.
    Allow,
    /// It was answered by the gate.
    Deny,
    /// It went on without a decision: an exempt path, or an open failure mode.
    Pass,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// Who reports it.
    #[serde(flatten)]
    pub source: Source,
    /// What was answered.
    pub decision: Verdict,
    /// Why, by the name of the reason to deny; also where the request passed in spite of
    /// it. `exempt` for an exempt path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `agt_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// `prn_…`, on whose behalf the agent acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    /// `tok_…` or `cap_…`; where the token is not known, `sha256:` and the first 16 bytes
    /// of its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// The service that the proxy guards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What the request would do, by the proxy's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// HTTP method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Path template of the action. The path itself may hold secrets, and is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_template: Option<String>,
    /// `pol_…`, by which was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_id: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<u32>,
    /// Epoch of the state by which was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Its revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// How long ago it was surely that of the control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_age_ms: Option<u64>,
    /// `x-request-id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// W3C trace id, 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// W3C parent id, 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    /// How it ended, where that was known when the decision was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<FlightEnd>,
}

/// How a request ended that had gone on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlightEnd {
    /// What became of it.
    pub disposition: Disposition,
    /// Status of the upstream's response, if one was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u32>,
    /// From the decision to the end, in microseconds.
    pub duration_us: u64,
    /// Revision of the state by which the gate ended it, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_by_revision: Option<u64>,
    /// The body of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
}

/// What became of a request in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// The upstream answered in full.
    Committed,
    /// It never reached the upstream, or the upstream said that it undid it.
    RolledBack,
    /// Nobody knows: it was cut off after it was forwarded, or its proxy was lost. A
    /// person must look.
    Escalated,
}

/// The body of a request, without the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// How much of it is hashed.
    pub hashed: BodyHash,
    /// SHA-256, 64 hexadecimal digits; of no body there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Bytes that were hashed.
    pub bytes: u64,
}

/// How much of a body is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyHash {
    /// There was no body.
    None,
    /// All of it.
    Whole,
    /// Its beginning: more did not come, or was not read.
    Truncated,
}

/// The end of a request whose decision was reported before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Who reports it.
    #[serde(flatten)]
    pub source: Source,
    /// Number of the decision among the events of the same instance.
    pub decision_number: u64,
    /// How it ended.
    pub end: FlightEnd,
    /// Whose request it was, as its decision says, where that is in the trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
}

/// From this number on, the worker decides by this state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Who reports it.
    #[serde(flatten)]
    pub source: Source,
    /// Epoch of the state.
    pub epoch: u64,
    /// Its revision.
    pub revision: u64,
    /// How many requests in flight it concerns; each follows as `in_flight`.
    pub in_flight: u32,
    /// Requests, at most so many, that it may concern besides: the worker does not keep
    /// track of them, or had no room to say it.
    pub untracked: u64,
}

/// A request in flight that a state concerns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concerned {
    /// Who reports it.
    #[serde(flatten)]
    pub source: Source,
    /// Epoch of the state.
    pub epoch: u64,
    /// Its revision.
    pub revision: u64,
    /// Number of the decision by which the request went on.
    pub decision_number: u64,
    /// `abort` or `drain`: whether it is ended or may end by itself.
    pub ending: String,
    /// Whose request it was, where its decision is in the trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
}

/// An act of an operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Administered {
    /// Number of the act in the registry's own log; unique within `epoch`.
    pub event: u64,
    /// Epoch of the commit that it was part of.
    pub epoch: u64,
    /// Revision of that commit.
    pub revision: u64,
    /// Who: the name of an operator, `oidc:` and a name, the id of an agent, or the control
    /// plane itself.
    pub actor: String,
    /// Address that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What was done, for example `agent.revoked`.
    pub act: String,
    /// Id or name of whom or what it was done to.
    pub subject: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of which incident it is part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident_id: Option<String>,
    /// The subject before, where it was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The subject after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// A key that signs checkpoints from here on, or is to. That it may is shown by the signature
/// of the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyNamed {
    /// The new key as a verifier key of a signed note (C2SP signed-note): `name+id+base64`.
    pub key: String,
    /// The verifier key that counted until now; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Ed25519 by the previous key over `kya-audit-key-v1`, one zero byte and `key`; base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The previous key was lost, so that it signs nothing any more, and not this either:
    /// nobody vouches for the new one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
    /// Who did it; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Records that were exported as a sealed segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// SHA-256 of the segment's file, 64 hexadecimal digits.
    pub sha256: String,
    /// Who did it.
    pub actor: String,
}

/// The registry was put back from a backup, or the trail itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The last act of the registry that is in the trail.
    pub event: u64,
    /// The newest act that the registry knew when it came back.
    pub known: u64,
    /// Epoch that began then; of a trail that was put back, that of its last act.
    pub epoch: u64,
    /// Of a trail that was put back: how many records it had. Those that came after are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trail_size: Option<u64>,
    /// How many the trail had that it replaced, where that could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_size: Option<u64>,
}
