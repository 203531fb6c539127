//! Changes in a small world: few agents, principals and actions, so that what is
//! said of one is said again.

use arbitrary::Arbitrary;
use kya_core::wire::{self, change::Change as Wire};
use kya_core::{AgentId, Fingerprint, PrincipalId, TokenDigest};
use sha2::{Digest as _, Sha256};

/// Agents, principals and actions of each kind; grants, of which each agent has
/// two.
pub const FEW: u8 = 4;
pub const GRANTS: u8 = 2 * FEW;

/// What is said of someone.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub struct Said {
    /// 0 to 3 as in the protocol, and what it does not know.
    pub status: i8,
    pub not_before: u8,
    pub drain: bool,
}

/// One change.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub enum Step {
    Fleet(Said),
    Principal(u8, Said),
    Agent(u8, Said, Option<u8>),
    Capability(u8, u8, Said),
    Grant(u8),
    Token(Issued),
}

/// A token.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub struct Issued {
    pub token: u16,
    pub grant: u8,
    pub issued: u8,
    pub expires: u8,
    pub revoked: bool,
}

pub fn agent_id(n: u8) -> AgentId {
    AgentId::from_bytes([n % FEW; 16])
}

pub fn principal_id(n: u8) -> PrincipalId {
    PrincipalId::from_bytes([n % FEW; 16])
}

/// Whose grant this is, always.
pub fn holder(grant: u8) -> u8 {
    grant % GRANTS / 2
}

pub fn action(n: u8) -> &'static str {
    ["read", "charge", "delete", "a"][usize::from(n % FEW)]
}

pub fn digest(token: u16) -> TokenDigest {
    TokenDigest(Sha256::digest(token.to_be_bytes()).into())
}

pub fn fingerprint(token: u16) -> Fingerprint {
    digest(token).fingerprint()
}

impl Said {
    pub fn is_revoked(self) -> bool {
        !matches!(self.status, 1 | 2)
    }

    fn wire(self) -> Option<wire::Standing> {
        Some(wire::Standing {
            status: self.status.into(),
            not_before_unix_seconds: self.not_before.into(),
            in_flight: if self.drain { 2 } else { 1 },
        })
    }
}

impl Step {
    /// The change as it travels.
    pub fn wire(self) -> wire::Change {
        let change = match self {
            Self::Fleet(said) => Wire::Fleet(wire::Fleet { standing: said.wire() }),
            Self::Principal(n, said) => Wire::Principal(wire::Principal {
                id: principal_id(n).to_bytes().into(),
                standing: said.wire(),
            }),
            Self::Agent(n, said, principal) => Wire::Agent(wire::Agent {
                id: agent_id(n).to_bytes().into(),
                standing: said.wire(),
                principal_id: principal.map_or(vec![], |n| principal_id(n).to_bytes().into()),
                ..Default::default()
            }),
            Self::Capability(n, what, said) => Wire::Capability(wire::Capability {
                agent_id: agent_id(n).to_bytes().into(),
                action: action(what).into(),
                standing: said.wire(),
            }),
            Self::Grant(n) => Wire::Grant(wire::Grant {
                index: (n % GRANTS).into(),
                agent_id: agent_id(holder(n)).to_bytes().into(),
                ..Default::default()
            }),
            Self::Token(it) => Wire::Token(wire::Token {
                digest: digest(it.token).0.into(),
                grant: (it.grant % GRANTS).into(),
                issued_unix_seconds: it.issued.into(),
                expires_unix_seconds: it.expires.into(),
                revoked: it.revoked,
            }),
        };
        wire::Change { change: Some(change) }
    }
}
