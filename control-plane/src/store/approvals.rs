//! Restorations that wait for a second operator.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use kya_core::{ActionName, AgentId, ApprovalId, Revision};
use thiserror::Error;

use super::{Agent, Capability, Cause, Fleet, Outcome, Principal, StoreError};
use crate::principals::PrincipalKey;
use crate::time::UnixMicros;

/// How long a restoration waits for a second operator.
pub const APPROVAL_TTL: Duration = Duration::from_secs(15 * 60);

/// Most that wait at a time.
pub const MAX_PENDING_APPROVALS: u32 = 100;
/// Most that wait of one operator who asked: nobody fills the list alone.
pub const MAX_PENDING_OF_AN_OPERATOR: u32 = 50;

/// What a stop can be taken back from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restorable {
    /// An agent.
    Agent(AgentId),
    /// One action of an agent.
    Capability(AgentId, ActionName),
    /// A principal; on record, by its id.
    Principal(PrincipalKey),
    /// Everyone.
    Fleet,
}

/// What was restored, or had not to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restored {
    /// An agent.
    Agent(Box<Outcome<Agent>>),
    /// One action of an agent.
    Capability(Outcome<Capability>),
    /// A principal.
    Principal(Outcome<Principal>),
    /// Everyone.
    Fleet(Outcome<Fleet>),
}

/// What became of a restoration that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restoration {
    /// It is so, and may have been before.
    Done(Restored),
    /// It waits for a second operator.
    Pending(Approval),
}

/// A restoration that waits, or waited, for a second operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Its name.
    pub id: ApprovalId,
    /// What is to be restored.
    pub of: Restorable,
    /// Revision of the decision that is to be undone: it counts for no other.
    pub target_revision: Revision,
    /// Name of the operator that asked, who cannot approve it.
    pub asked_by: String,
    /// When that was.
    pub asked_at: UnixMicros,
    /// It counts no more from then on.
    pub expires_at: UnixMicros,
    /// Why it is to be restored.
    pub reason: Option<String>,
    /// The incident that it belongs to.
    pub incident_id: Option<String>,
    /// How it ended, if it did not just expire.
    pub settled: Option<Settled>,
}

/// How an approval ended, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// How.
    pub verdict: Verdict,
    /// Name of the operator.
    pub by: String,
    /// When.
    pub at: UnixMicros,
    /// Revision of the restoration, if there was one.
    pub revision: Option<Revision>,
}

/// How an approval ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A second operator had it carried out.
    Approved,
    /// Somebody ended it.
    Rejected,
    /// What it was about was not as it had been when a second operator came.
    Void,
}

/// Why something is not approved, or cannot be asked for.
#[derive(Debug, Error)]
pub enum ApprovalError {
    /// There is no such approval, or it was forgotten a day after it expired.
    #[error("there is no approval {0}")]
    NoSuch(ApprovalId),
    /// Two operators are two.
    #[error("{by} asked for {id}, so that somebody else has to approve it")]
    Own {
        /// Which.
        id: ApprovalId,
        /// Who asked, and asks now.
        by: String,
    },
    /// The operator who would approve was shut out since it was let in.
    #[error("the operator {by} {why} meanwhile, so that it approves nothing")]
    ShutOut {
        /// Who.
        by: String,
        /// By what.
        why: &'static str,
    },
    /// It is too late.
    #[error("{id} expired at {}: ask for the restoration again", .at.to_rfc3339())]
    Expired {
        /// Which.
        id: ApprovalId,
        /// When.
        at: UnixMicros,
    },
    /// It has ended otherwise.
    #[error("{id} is {} by {by} already", .verdict.name())]
    Settled {
        /// Which.
        id: ApprovalId,
        /// How it ended.
        verdict: Verdict,
        /// By whom.
        by: String,
    },
    /// What would be restored is not what was to be.
    #[error("{id} is void, and nothing was restored: {why}. Look, and ask again")]
    Void {
        /// Which.
        id: ApprovalId,
        /// What has changed.
        why: String,
    },
    /// Somebody has to look at what waits.
    #[error(
        "{MAX_PENDING_APPROVALS} restorations wait for a second operator, and that is the most: approve or reject some"
    )]
    TooMany,
    /// The same of what one operator has asked for.
    #[error(
        "{MAX_PENDING_OF_AN_OPERATOR} restorations that {0} asked for wait for a second operator, and that is the most of one: have some approved, or reject some"
    )]
    TooManyOfOne(String),
}

/// What a [`Store`](super::Store) keeps of restorations that wait.
#[async_trait]
pub trait ApprovalStore {
    /// Has a restoration wait for a second operator, for [`APPROVAL_TTL`] and for the
    /// decision that stands now. Where there is nothing to restore, nothing waits.
    async fn ask_to_restore(
        &self,
        id: ApprovalId,
        of: Restorable,
        cause: Cause,
    ) -> Result<Restoration, StoreError>;

    /// Carries out a restoration that waits, in one transaction with its approval, if
    /// whoever asked and whoever approves are let in at that time. Doing it again changes
    /// nothing.
    async fn approve(&self, id: ApprovalId, cause: Cause) -> Result<Outcome<Approval>, StoreError>;

    /// Ends a restoration that waits. Doing it again changes nothing.
    async fn reject(&self, id: ApprovalId, cause: Cause) -> Result<Approval, StoreError>;

    /// Up to `limit` approvals that wait, or all that are kept, with an id after `after`,
    /// ordered by id.
    async fn approvals(
        &self,
        all: bool,
        after: Option<ApprovalId>,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError>;
}

impl Verdict {
    const ALL: [Self; 3] = [Self::Approved, Self::Rejected, Self::Void];

    /// The stored and shown name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Void => "void",
        }
    }

    /// The verdict with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }
}

impl Restorable {
    /// The stored and shown name of its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Agent(_) => "agent",
            Self::Capability(..) => "capability",
            Self::Principal(_) => "principal",
            Self::Fleet => "fleet",
        }
    }
}

/// As the log of events names it.
impl fmt::Display for Restorable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(id) => write!(f, "{id}"),
            Self::Capability(id, action) => write!(f, "{id} {action}"),
            Self::Principal(key) => write!(f, "{key}"),
            Self::Fleet => f.write_str("fleet"),
        }
    }
}

impl Approval {
    /// True from then on that it counts no more.
    pub fn is_expired(&self, now: UnixMicros) -> bool {
        self.expires_at <= now
    }

    /// Its status as it is shown.
    pub fn status(&self, now: UnixMicros) -> &'static str {
        match &self.settled {
            Some(settled) => settled.verdict.name(),
            None if self.is_expired(now) => "expired",
            None => "pending",
        }
    }
}
