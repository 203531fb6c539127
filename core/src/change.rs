//! Changes: the records of the protocol, checked.

use std::sync::Arc;

use crate::action::ActionName;
use crate::grant::Grant;
use crate::ids::{AgentId, CapabilityId, Id, IdKind, PolicyId, PrincipalId};
use crate::jwt::{CapabilityKeys, CapabilityVerifier};
use crate::keys::PublicKey;
use crate::policy::{Policy, PolicyDocument, PolicyVersion};
use crate::standing::{InFlight, Standing, Status};
use crate::table::{Fingerprint, GrantIndex, TokenEntry};
use crate::time::UnixSeconds;
use crate::token::TokenDigest;
use crate::wire;

/// Longest policy document that travels, in bytes.
pub const MAX_POLICY_BYTES: usize = 64 * 1024;
/// Longest name of an action, in bytes.
pub const MAX_ACTION_BYTES: usize = 256;

/// One record of authority: what it says replaces what was said before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The standing of everyone.
    Fleet(Standing),
    /// The standing of a principal.
    Principal(PrincipalId, Standing),
    /// An agent.
    Agent(AgentId, Agent),
    /// A version of a policy.
    Policy(PolicyId, PolicyVersion, Arc<Policy>),
    /// The standing of one action of one agent.
    Capability(AgentId, ActionName, Standing),
    /// What a grant stands for.
    Grant(GrantIndex, Arc<Grant>),
    /// Whose capability tokens count; nobody's, if there is none.
    Issuer(Option<Arc<CapabilityVerifier>>),
    /// A capability token does not count any more, and when it would not have anyway.
    RevokedCapability(CapabilityId, UnixSeconds),
    /// What is known of a token.
    Token(Fingerprint, TokenEntry),
}

/// What is known of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agent {
    /// What was decided about it.
    pub standing: Standing,
    /// On whose behalf it acts.
    pub principal: Option<PrincipalId>,
    /// From this second on it may do nothing, whatever was decided about it.
    pub expires: Option<UnixSeconds>,
    /// What says what it may do; nothing but standings, if there is none.
    pub policy: Option<PolicyId>,
    /// The agent that it acts for: it may do no more than that one.
    pub parent: Option<AgentId>,
    /// When it was suspended so that work in flight may end.
    pub suspended: Option<UnixSeconds>,
}

impl Change {
    /// Reads a record; `None` if a part of it is missing, malformed or of a kind
    /// that this version does not know. What is not understood may be a denial.
    pub fn from_wire(record: &wire::Change) -> Option<Self> {
        use wire::change::Change as Wire;
        Some(match record.change.as_ref()? {
            Wire::Fleet(fleet) => Self::Fleet(standing(fleet.standing.as_ref())?),
            Wire::Principal(principal) => {
                Self::Principal(id(&principal.id)?, standing(principal.standing.as_ref())?)
            }
            Wire::Agent(agent) => {
                let standing = standing(agent.standing.as_ref())?;
                let principal = optional_id(&agent.principal_id)?;
                let policy = optional_id(&agent.policy_id)?;
                let parent = optional_id(&agent.parent_id)?;
                let expires = optional_seconds(agent.expires_unix_seconds)?;
                let suspended = optional_seconds(agent.suspended_unix_seconds)?;
                let agent_id = id(&agent.id)?;
                Self::Agent(
                    agent_id,
                    Agent { standing, principal, expires, policy, parent, suspended },
                )
            }
            Wire::Policy(policy) => {
                let version = PolicyVersion::new(policy.version)?;
                if policy.document.len() > MAX_POLICY_BYTES {
                    return None;
                }
                let document: PolicyDocument = serde_json::from_slice(&policy.document).ok()?;
                Self::Policy(id(&policy.id)?, version, Arc::new(document.check().ok()?))
            }
            Wire::Capability(capability) => {
                // Another name is that of no action, so it would stop nothing.
                let action = capability.action.parse::<ActionName>().ok()?;
                let standing = standing(capability.standing.as_ref())?;
                Self::Capability(id(&capability.agent_id)?, action, standing)
            }
            Wire::Grant(grant) => {
                let limits = Grant::new(id(&grant.agent_id)?, &grant.services, &grant.actions)?;
                Self::Grant(GrantIndex::new(grant.index)?, Arc::new(limits))
            }
            Wire::Issuer(issuer) => Self::Issuer(verifier(issuer)?),
            Wire::RevokedCapability(token) => {
                Self::RevokedCapability(id(&token.id)?, seconds(token.expires_unix_seconds)?)
            }
            Wire::Token(token) => {
                let entry = TokenEntry {
                    grant: GrantIndex::new(token.grant)?,
                    issued: seconds(token.issued_unix_seconds)?,
                    expires: seconds(token.expires_unix_seconds)?,
                    revoked: token.revoked,
                };
                Self::Token(TokenDigest::from_slice(&token.digest)?.fingerprint(), entry)
            }
        })
    }

    /// Reads every record, or none of them.
    pub fn all_from_wire(records: &[wire::Change]) -> Option<Vec<Self>> {
        records.iter().map(Self::from_wire).collect()
    }
}

fn id<K: IdKind>(bytes: &[u8]) -> Option<Id<K>> {
    Id::from_slice(bytes).ok()
}

/// None, if nothing is there.
fn optional_id<K: IdKind>(bytes: &[u8]) -> Option<Option<Id<K>>> {
    match bytes {
        [] => Some(None),
        bytes => id(bytes).map(Some),
    }
}

/// None, if it is 0.
fn optional_seconds(at: u64) -> Option<Option<UnixSeconds>> {
    seconds(at).map(|at| (at > UnixSeconds(0)).then_some(at))
}

/// Whoever verifies the tokens of this issuer; nobody, if it has no keys.
fn verifier(issuer: &wire::Issuer) -> Option<Option<Arc<CapabilityVerifier>>> {
    if issuer.keys.is_empty() {
        return Some(None);
    }
    let keys = issuer.keys.iter().map(|key| {
        <[u8; 32]>::try_from(key.as_slice()).ok().and_then(|key| PublicKey::from_bytes(key).ok())
    });
    let keys = CapabilityKeys::new(keys.collect::<Option<Vec<_>>>()?).ok()?;
    let verifier = CapabilityVerifier::new(issuer.name.as_str(), keys).ok()?;
    verifier.with_max_lifetime(issuer.max_lifetime_seconds).ok().map(|it| Some(Arc::new(it)))
}

fn seconds(at: u64) -> Option<UnixSeconds> {
    u32::try_from(at).ok().map(|_| UnixSeconds(at))
}

fn standing(record: Option<&wire::Standing>) -> Option<Standing> {
    let record = record?;
    let status = match record.status() {
        wire::Status::Active => Status::Active,
        wire::Status::Suspended => Status::Suspended,
        // A status that this version does not know is the strictest one.
        wire::Status::Revoked | wire::Status::Unspecified => Status::Revoked,
    };
    let in_flight = match record.in_flight() {
        wire::InFlight::Drain => InFlight::Drain,
        wire::InFlight::Abort | wire::InFlight::Unspecified => InFlight::Abort,
    };
    Some(Standing { status, not_before: UnixSeconds(record.not_before_unix_seconds), in_flight })
}

impl From<Standing> for wire::Standing {
    fn from(standing: Standing) -> Self {
        let status = match standing.status {
            Status::Active => wire::Status::Active,
            Status::Suspended => wire::Status::Suspended,
            Status::Revoked => wire::Status::Revoked,
        };
        let in_flight = match standing.in_flight {
            InFlight::Drain => wire::InFlight::Drain,
            InFlight::Abort => wire::InFlight::Abort,
        };
        Self {
            status: status.into(),
            not_before_unix_seconds: standing.not_before.0,
            in_flight: in_flight.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::change::Change as Wire;

    fn read(change: Wire) -> Option<Change> {
        Change::from_wire(&wire::Change { change: Some(change) })
    }

    fn active() -> Option<wire::Standing> {
        Some(Standing::ACTIVE.into())
    }

    #[test]
    fn a_standing_survives_the_wire() {
        for status in [Status::Active, Status::Suspended, Status::Revoked] {
            for in_flight in [InFlight::Drain, InFlight::Abort] {
                let said = Standing { status, not_before: UnixSeconds(9), in_flight };
                let fleet = wire::Fleet { standing: Some(said.into()) };
                assert_eq!(read(Wire::Fleet(fleet)), Some(Change::Fleet(said)));
            }
        }
    }

    #[test]
    fn what_a_standing_does_not_say_is_read_as_the_strictest() {
        let silent = wire::Standing::default();
        let unknown = wire::Standing { status: 77, in_flight: 77, ..Default::default() };
        for standing in [silent, unknown] {
            let fleet = wire::Fleet { standing: Some(standing) };
            let Some(Change::Fleet(read)) = read(Wire::Fleet(fleet)) else { panic!() };
            assert_eq!((read.status, read.in_flight), (Status::Revoked, InFlight::Abort));
        }
        assert_eq!(read(Wire::Fleet(wire::Fleet { standing: None })), None);
    }

    #[test]
    fn a_malformed_record_is_none() {
        let id = vec![1; 16];
        let agent = wire::Agent { id: id.clone(), standing: active(), ..Default::default() };
        assert!(read(Wire::Agent(agent.clone())).is_some());
        for agent in [
            wire::Agent { id: vec![1; 15], ..agent.clone() },
            wire::Agent { standing: None, ..agent.clone() },
            wire::Agent { principal_id: vec![1; 17], ..agent.clone() },
            wire::Agent { expires_unix_seconds: 1 << 32, ..agent.clone() },
            wire::Agent { policy_id: vec![1; 17], ..agent.clone() },
        ] {
            assert_eq!(read(Wire::Agent(agent)), None);
        }
        let capability =
            |action: String| wire::Capability { agent_id: id.clone(), action, standing: active() };
        assert!(read(Wire::Capability(capability("a".repeat(256)))).is_some());
        assert_eq!(read(Wire::Capability(capability("a".repeat(257)))), None);
        for none in ["", "Issue_Refund", "issue_*", "issue refund"] {
            assert_eq!(read(Wire::Capability(capability(none.to_owned()))), None, "{none}");
        }
        let document = br#"{"name": "p", "allow": ["read"]}"#.to_vec();
        let policy = wire::Policy { id: id.clone(), version: 1, document };
        assert!(read(Wire::Policy(policy.clone())).is_some());
        for policy in [
            wire::Policy { id: vec![1; 15], ..policy.clone() },
            wire::Policy { version: 0, ..policy.clone() },
            wire::Policy { document: b"{}".to_vec(), ..policy.clone() },
            wire::Policy { document: b"not JSON".to_vec(), ..policy.clone() },
            // A field that this version does not know may be what denies.
            wire::Policy {
                document: br#"{"name": "p", "allow": ["read"], "never": ["read"]}"#.to_vec(),
                ..policy.clone()
            },
            wire::Policy {
                document: [&policy.document[..], &vec![b' '; MAX_POLICY_BYTES]].concat(),
                ..policy.clone()
            },
        ] {
            assert_eq!(read(Wire::Policy(policy)), None);
        }
        let token = wire::Token { digest: vec![1; 32], ..Default::default() };
        assert!(read(Wire::Token(token.clone())).is_some());
        for token in [
            wire::Token { digest: vec![1; 31], ..token.clone() },
            wire::Token { grant: 1 << 31, ..token.clone() },
            wire::Token { issued_unix_seconds: 1 << 32, ..token.clone() },
            wire::Token { expires_unix_seconds: 1 << 32, ..token.clone() },
        ] {
            assert_eq!(read(Wire::Token(token)), None);
        }
        assert_eq!(Change::from_wire(&wire::Change { change: None }), None);
    }
}
