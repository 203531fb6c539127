//! What is to be decided, said as plainly as can be: all that was ever said, and
//! one pass over it for each question.

use std::collections::{BTreeMap, BTreeSet};

use kya_core::DenyReason as Why;

use crate::changes::{FEW, GRANTS, Issued, Said, Step, holder};

/// Everything that was said, in order, by whom it is about.
#[derive(Debug, Default)]
pub struct Model {
    fleet: Vec<Said>,
    principals: BTreeMap<u8, Vec<Said>>,
    agents: BTreeMap<u8, (Vec<Said>, Option<u8>)>,
    capabilities: BTreeMap<(u8, u8), Vec<Said>>,
    grants: BTreeMap<u8, u8>,
    tokens: BTreeMap<u16, Issued>,
    /// Tokens that were once said to be revoked, other than by a base.
    revoked: BTreeSet<u16>,
}

/// How much of it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// A revocation and a not-before are remembered whatever follows.
    All,
    /// Only what was said last.
    Last,
}

/// Who acts by which token, or why nobody may.
pub type Verdict = Result<(u8, Issued), Why>;

impl Model {
    /// Takes a change.
    pub fn take(&mut self, step: Step) {
        match step {
            Step::Fleet(said) => self.fleet.push(said),
            Step::Principal(n, said) => self.principals.entry(n % FEW).or_default().push(said),
            Step::Agent(n, said, principal) => {
                let agent = self.agents.entry(n % FEW).or_default();
                agent.0.push(said);
                agent.1 = principal.map(|n| n % FEW);
            }
            Step::Capability(n, what, said) => {
                self.capabilities.entry((n % FEW, what % FEW)).or_default().push(said);
            }
            Step::Grant(n) => drop(self.grants.insert(n % GRANTS, holder(n))),
            Step::Token(it) => {
                self.tokens.insert(it.token, it);
                if it.revoked {
                    self.revoked.insert(it.token);
                }
            }
        }
    }

    /// Takes what `other` has heard last of everything.
    pub fn load(&mut self, other: &Self) {
        let last = |said: &[Said]| said.last().copied();
        self.fleet.extend(last(&other.fleet));
        for (n, said) in &other.principals {
            self.principals.entry(*n).or_default().extend(last(said));
        }
        for (n, (said, principal)) in &other.agents {
            let agent = self.agents.entry(*n).or_default();
            agent.0.extend(last(said));
            agent.1 = *principal;
        }
        for (key, said) in &other.capabilities {
            self.capabilities.entry(*key).or_default().extend(last(said));
        }
        self.grants.clone_from(&other.grants);
        // What is remembered as revoked is remembered as it was.
        let mut tokens = other.tokens.clone();
        let known = self.tokens.iter().filter(|(token, _)| self.revoked.contains(token));
        tokens.extend(known.map(|(token, it)| (*token, *it)));
        self.tokens = tokens;
    }

    /// The change that a control plane may make instead: it undoes no revocation,
    /// and puts no not-before back.
    pub fn lawful(&self, step: Step) -> Step {
        let after = |said: Option<&Vec<Said>>, next: Said| {
            let said = said.map_or(&[][..], Vec::as_slice);
            let revoked = said.iter().any(|it| it.is_revoked());
            let bound = said.iter().map(|it| it.not_before).max().unwrap_or(0);
            Said {
                status: if revoked { 3 } else { next.status },
                not_before: bound.max(next.not_before),
                ..next
            }
        };
        match step {
            Step::Fleet(said) => Step::Fleet(after(Some(&self.fleet), said)),
            Step::Principal(n, said) => {
                Step::Principal(n, after(self.principals.get(&(n % FEW)), said))
            }
            Step::Agent(n, said, principal) => {
                Step::Agent(n, after(self.agents.get(&(n % FEW)).map(|it| &it.0), said), principal)
            }
            Step::Capability(n, what, said) => {
                let known = self.capabilities.get(&(n % FEW, what % FEW));
                Step::Capability(n, what, after(known, said))
            }
            Step::Grant(n) => Step::Grant(n),
            Step::Token(it) => {
                let revoked = it.revoked || self.revoked.contains(&it.token);
                Step::Token(Issued { revoked, ..it })
            }
        }
    }

    /// Whether `token` counts at `second`, for an action where it is known.
    pub fn decide(&self, memory: Memory, token: u16, action: Option<u8>, second: u64) -> Verdict {
        let last = *self.tokens.get(&token).ok_or(Why::TokenUnknown)?;
        let remembered = memory == Memory::All && self.revoked.contains(&token);
        let it = Issued { revoked: last.revoked || remembered, ..last };
        let agent = *self.grants.get(&(it.grant % GRANTS)).ok_or(Why::AgentRevoked)?;
        let (said, principal) = self.agents.get(&agent).ok_or(Why::AgentRevoked)?;
        let check = |said: &[Said], suspended: Why, revoked: Why| {
            let (last, earlier) = match said.split_last() {
                None => return Ok(()),
                Some((last, earlier)) => (last, earlier),
            };
            let counts = if memory == Memory::All { earlier } else { &[] };
            if last.is_revoked() || counts.iter().any(|it| it.is_revoked()) {
                return Err(revoked);
            }
            if last.status != 1 {
                return Err(suspended);
            }
            let bound = counts.iter().chain([last]).map(|it| it.not_before).max().unwrap_or(0);
            if bound > 0 && it.issued <= bound { Err(Why::TokenSuperseded) } else { Ok(()) }
        };
        check(&self.fleet, Why::FleetHalted, Why::FleetHalted)?;
        if let Some(principal) = principal {
            let said = self.principals.get(principal).ok_or(Why::PrincipalRevoked)?;
            check(said, Why::PrincipalSuspended, Why::PrincipalRevoked)?;
        }
        check(said, Why::AgentSuspended, Why::AgentRevoked)?;
        for ((_, what), said) in self.capabilities.range((agent, 0)..=(agent, u8::MAX)) {
            if action.is_none_or(|action| action % FEW == *what) {
                check(said, Why::CapabilityRevoked, Why::CapabilityRevoked)?;
            }
        }
        if it.revoked {
            return Err(Why::TokenRevoked);
        }
        if second >= it.expires.into() { Err(Why::TokenExpired) } else { Ok((agent, it)) }
    }
}
