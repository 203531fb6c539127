//! What can go wrong, who caused it, and the exit code that says so.

use std::io;

use kya_core::{DrillId, KillId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use crate::api::Approval;

/// The HTTP library's words for an answer in another protocol, and for one that
/// comes before the question, as HTTP/2 may have it.
const OTHER_PROTOCOL: [&str; 2] =
    ["invalid HTTP version parsed", "received unexpected message from connection"];

/// Every exit code, and what it says.
pub(crate) const EXIT_CODES: [(u8, &str); 10] = [
    (0, "done"),
    (
        1,
        "the server refused, or answered with something else; or something was allowed past a kill (`kya audit check-kills`), or one is not complete (`kya kill wait`)",
    ),
    (2, "the command line is wrong; nothing was sent"),
    (3, "the control plane cannot be reached, or did not answer in time"),
    (4, "not every proxy that was challenged is armed (`kya node challenge`)"),
    (5, "the decision that was asked for is DENY (`kya verify`)"),
    (6, "nothing is restored yet: a second operator has to approve it (`kya approval approve`)"),
    (7, "the audit trail does not verify (`kya audit`)"),
    (8, "the drill did not pass (`kya drill run`)"),
    (9, "the next kill may fail or be incomplete (`kya status`)"),
];

/// Why a command did not end well.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// The command line is wrong in a way that the parser does not see.
    #[error("{0}")]
    Usage(String),
    /// The server understood and said no.
    #[error("{problem}")]
    Refused {
        /// Its answer, read.
        problem: Problem,
        /// Its answer, as it came.
        json: Value,
    },
    /// Something answered, but not as a kya control plane does.
    #[error("{server} did not answer as a kya control plane does: {what}")]
    Unexpected {
        /// Who was asked.
        server: String,
        /// What is wrong with the answer.
        what: String,
    },
    /// The server does not know what every control plane has.
    #[error("{server} does not look like a kya control plane: it says 404 Not Found")]
    NotKya {
        /// Who was asked.
        server: String,
    },
    /// No answer, or none that could be read to its end.
    #[error("cannot reach the control plane at {server}: {cause}{}", outcome(*.sent))]
    Unreachable {
        /// Who was asked.
        server: String,
        /// The causes, outermost first.
        cause: String,
        /// True when the request may have arrived and asked for a change.
        sent: bool,
        /// True when the cause says what to do.
        explained: bool,
    },
    /// The change is committed, but who acknowledged it could not be asked.
    #[error(
        "the {noun} IS committed (revision {revision}), but it is unknown which workers have acknowledged it: {source}"
    )]
    AcknowledgementUnknown {
        /// What was committed.
        noun: &'static str,
        /// As which revision.
        revision: u64,
        /// Why the question failed.
        source: Box<Error>,
    },
    /// Not every proxy that was challenged is armed, or none was.
    #[error("{0}")]
    NotArmed(String),
    /// The decision that was asked for is no.
    #[error("denied: {0}")]
    Denied(String),
    /// What was asked for waits for a second operator.
    #[error(
        "nothing is restored yet: {} has to be approved by another operator than {}",
        .approval.approval_id, .approval.asked_by
    )]
    AwaitsApproval {
        /// What the server says, read.
        approval: Box<Approval>,
        /// What the server says, as it came.
        json: Value,
    },
    /// A step with the keys is committed, and not every worker has got it yet.
    #[error(
        "not every worker has acknowledged revision {revision} within {}: the keys stay as they are, both count, and nothing is lost", humantime::format_duration(*.wait)
    )]
    NotAcknowledged {
        /// The revision of the step.
        revision: u64,
        /// How long it was waited.
        wait: std::time::Duration,
    },
    /// Not everybody who was there applies a kill, or something is in flight.
    #[error("{id} is not complete: {acknowledged} of {workers} workers have acknowledged it")]
    Incomplete {
        /// Which kill.
        id: KillId,
        /// Workers that have.
        acknowledged: u64,
        /// Workers that were there.
        workers: u64,
    },
    /// The audit trail is not as it was signed, or that is not shown.
    #[error("NOT VERIFIED: {what}")]
    NotVerified {
        /// What that means for what was asked.
        what: String,
        /// What is wrong, record by record.
        problems: Vec<String>,
        /// All that was found.
        report: Value,
    },
    /// There is something that the next kill may fail by.
    #[error("the next kill may fail or be incomplete: {problems} problem(s), see above")]
    Degraded {
        /// How many things.
        problems: usize,
    },
    /// Something was allowed past a kill.
    #[error("{0}")]
    AllowedPastKill(String),
    /// Somebody did not hear of a stop in time, or the drill ended early.
    #[error("{id} has not passed: it {}", if .state == "failed" { "failed" } else { "was interrupted" })]
    DrillNotPassed {
        /// Which drill.
        id: DrillId,
        /// How it ended.
        state: String,
    },
    /// The result could not be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
}

/// A problem document of the server (RFC 9457).
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Problem {
    pub(crate) title: String,
    pub(crate) status: u16,
    pub(crate) detail: Option<String>,
    pub(crate) code: Option<String>,
}

impl Error {
    /// Exit code of a wrong command line.
    pub(crate) const USAGE: u8 = 2;

    /// One of [`EXIT_CODES`], and not 0.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => Self::USAGE,
            Self::Refused { .. }
            | Self::Unexpected { .. }
            | Self::NotKya { .. }
            | Self::NotAcknowledged { .. }
            | Self::Incomplete { .. }
            | Self::AllowedPastKill(_)
            | Self::Output(_) => 1,
            Self::Unreachable { .. } => 3,
            Self::NotArmed(_) => 4,
            Self::Denied(_) => 5,
            Self::AwaitsApproval { .. } => 6,
            Self::NotVerified { .. } => 7,
            Self::DrillNotPassed { .. } => 8,
            Self::Degraded { .. } => 9,
            Self::AcknowledgementUnknown { source, .. } => source.exit_code(),
        }
    }

    /// The error as a problem document. What the server said is passed on as
    /// it came.
    pub(crate) fn to_json(&self) -> Value {
        let (code, title) = match self {
            Self::Refused { json, .. } => return json.clone(),
            Self::Usage(_) => ("usage", "Wrong command line"),
            Self::Unexpected { .. } | Self::NotKya { .. } => {
                ("unexpected_answer", "Unexpected answer")
            }
            Self::Unreachable { .. } => ("unreachable", "Control plane unreachable"),
            Self::AcknowledgementUnknown { .. } => {
                ("acknowledgement_unknown", "Committed, acknowledgement unknown")
            }
            Self::NotArmed(_) => ("not_armed", "Not armed"),
            Self::Denied(_) => ("denied", "Denied"),
            Self::AwaitsApproval { .. } => ("awaits_approval", "Waits for a second operator"),
            Self::NotAcknowledged { .. } => ("not_acknowledged", "Not acknowledged yet"),
            Self::Incomplete { .. } => ("kill_incomplete", "Kill not complete"),
            Self::NotVerified { .. } => ("not_verified", "The audit trail does not verify"),
            Self::DrillNotPassed { .. } => ("drill_not_passed", "Drill not passed"),
            Self::Degraded { .. } => ("degraded", "The switch is degraded"),
            Self::AllowedPastKill(_) => ("allowed_past_kill", "Allowed past a kill"),
            Self::Output(_) => ("output", "Result not written"),
        };
        let mut document = json!({
            "type": format!("urn:kya:problem:{code}"),
            "title": title,
            "detail": self.to_string(),
            "code": code,
        });
        if let (Self::NotVerified { report, .. }, Some(members)) = (self, document.as_object_mut())
        {
            members.insert("verification".to_owned(), report.clone());
        }
        document
    }

    /// What belongs to it, line by line.
    pub(crate) fn details(&self) -> &[String] {
        match self {
            Self::NotVerified { problems, .. } => problems,
            _ => &[],
        }
    }

    /// What the user can do about it, where that is not plain.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { problem: Problem { status: 401, .. }, .. } => Some(
                "KYA_TOKEN must be a key of this control plane that counts: one from `kya operator add`, or the line in admin.key in its data directory",
            ),
            Self::Refused { problem: Problem { status: 403, .. }, .. } => Some(
                "`kya whoami` shows whose key KYA_TOKEN is and what it may do; whoever has the role admin adds another by `kya operator add NAME --role ROLE`",
            ),
            Self::AcknowledgementUnknown { .. } => Some(
                "run the same command again, which changes nothing and asks again, or see `kya node list`",
            ),
            Self::NotAcknowledged { .. } => Some(
                "run the same command again, which goes on from there; `kya node list` shows who is behind, and --force does not wait",
            ),
            Self::Unreachable { explained: true, .. } => None,
            Self::Unreachable { cause, .. } if speaks_otherwise(cause) => Some(
                "is this the gRPC port (7081)? The HTTP API is on 7080 by default; if it speaks TLS, write https://",
            ),
            Self::Unreachable { sent: false, .. } => {
                Some("is it running, and is KYA_SERVER (or --server) its HTTP address?")
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = self.detail.as_ref().unwrap_or(&self.title);
        write!(f, "refused: {what} ({}", self.status)?;
        match &self.code {
            Some(code) => write!(f, " {code})"),
            None => write!(f, ")"),
        }
    }
}

/// True when what answered speaks something other than HTTP/1, so that it has
/// not understood the request.
pub(crate) fn speaks_otherwise(cause: &str) -> bool {
    OTHER_PROTOCOL.contains(&cause)
}

fn outcome(sent: bool) -> &'static str {
    if sent { ". Whether the change was made is unknown: look before you repeat it" } else { "" }
}
