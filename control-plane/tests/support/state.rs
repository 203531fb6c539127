//! What a proxy of the tests knows, and decides by: the state of the filter,
//! without its limits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kya_core::jwt::{CapabilityVerifier, VerifiedCache};
use kya_core::{
    ActionName, Agent, AgentId, Authority, Body, CapabilityId, Change, Credential, Decision,
    DenyReason, Fingerprint, Manifest, Moment, OpaqueToken, Policy, PolicyId, PolicyVersion,
    Position, PrincipalId, Request, Standing, TokenEntry, TokenTable, UnixMillis, UnixSeconds,
    Unreadable, VerifiedUpdate, chunk_hash, decide, records, table, wire,
};

/// What a proxy knows, in a form that can be compared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    pub agents: BTreeMap<AgentId, Agent>,
    pub grants: BTreeMap<u32, AgentId>,
    pub tokens: BTreeMap<[u8; 16], TokenEntry>,
    pub fleet: Option<Standing>,
    pub principals: BTreeMap<PrincipalId, Standing>,
    pub capabilities: BTreeMap<(AgentId, ActionName), Standing>,
    pub policies: BTreeMap<PolicyId, (PolicyVersion, Arc<Policy>)>,
    pub issuer: Option<Arc<CapabilityVerifier>>,
    pub taken_back: BTreeMap<CapabilityId, UnixSeconds>,
}

/// All that a proxy has.
#[derive(Default)]
pub struct State {
    pub known: Known,
    pub authority: Authority,
    base: Option<(Manifest, HashMap<u32, Vec<u8>>)>,
}

impl Known {
    pub fn change(&mut self, change: Change) {
        match change {
            Change::Agent(id, agent) => drop(self.agents.insert(id, agent)),
            Change::Grant(index, grant) => drop(self.grants.insert(index.get(), grant.agent())),
            Change::Token(fingerprint, token) => drop(self.tokens.insert(fingerprint.0, token)),
            Change::Fleet(standing) => self.fleet = Some(standing),
            Change::Principal(id, standing) => drop(self.principals.insert(id, standing)),
            Change::Capability(id, action, standing) => {
                self.capabilities.insert((id, action), standing);
            }
            Change::Policy(id, version, policy) => {
                self.policies.insert(id, (version, policy));
            }
            Change::Issuer(issuer) => self.issuer = issuer,
            Change::RevokedCapability(id, expires) => drop(self.taken_back.insert(id, expires)),
        }
    }

    /// Takes changes in as a proxy does.
    pub fn replay(changes: impl IntoIterator<Item = wire::Change>) -> Self {
        let mut known = Self::default();
        for change in changes {
            known.change(Change::from_wire(&change).expect("a record of the protocol"));
        }
        known
    }
}

impl State {
    /// The chunks that are needed for a base of this manifest.
    pub fn missing(&self, manifest: &Manifest) -> Vec<u32> {
        manifest.changed_since(self.base.as_ref().map(|(manifest, _)| manifest)).collect()
    }

    /// Begins again from a manifest whose missing chunks have come.
    pub fn rebase(&mut self, at: Position, manifest: &Manifest, fresh: HashMap<u32, Vec<u8>>) {
        let mut chunks = match self.base.take() {
            Some((old, chunks)) if old.count() == manifest.count() => chunks,
            _ => HashMap::new(),
        };
        chunks.extend(fresh);
        assert_eq!(chunks.len(), manifest.count(), "a chunk is missing");
        let mut known = Known::default();
        let mut told = Vec::new();
        for (index, content) in &chunks {
            assert_eq!(manifest.hash(*index), Some(&chunk_hash(content)));
            match usize::try_from(*index).unwrap() < manifest.token_chunks() {
                true => known.tokens.extend(table::entries(content).map(|(f, token)| (f.0, token))),
                false => told.extend(records(content).expect("records of the protocol")),
            }
        }
        told.iter().cloned().for_each(|change| known.change(change));
        // A manifest at the same position repeats what is known.
        match self.authority.position() == Some(at) {
            true => self.authority.rebase(at),
            false => self.authority = self.authority.reloaded(at, told).unwrap(),
        }
        self.known = known;
        self.base = Some((manifest.clone(), chunks));
    }

    /// Refuses whatever does not follow without a gap.
    pub fn apply(&mut self, delta: &VerifiedUpdate) {
        assert!(matches!(delta.body(), Body::Delta(_)));
        let changes = self.authority.apply(delta).unwrap();
        changes.iter().cloned().for_each(|change| self.known.change(change));
    }

    /// What a request with this token is answered.
    pub fn decide(&self, token: &str) -> Decision {
        self.decide_action(token, None)
    }

    /// What a request for this action is answered.
    pub fn decide_action(&self, token: &str, action: Option<&ActionName>) -> Decision {
        let digest = OpaqueToken::parse(token.as_bytes()).unwrap().digest();
        self.ask(&Request { credential: Credential::Opaque(digest), action, service: None })
    }

    /// Why a request to this service by whatever kind of token is denied.
    pub fn denial_at(&self, token: &str, service: &str, action: &str) -> Option<DenyReason> {
        let action = action.parse().unwrap();
        let credential = Credential::of(token.as_bytes());
        let request = Request { credential, action: Some(&action), service: Some(service) };
        match self.ask(&request) {
            Decision::Allow { .. } => None,
            Decision::Deny { reason, .. } => Some(reason),
        }
    }

    fn ask(&self, request: &Request<'_>) -> Decision {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let now = UnixMillis(now.try_into().unwrap());
        let moment = Moment { now, state_age: 0, max_staleness: None };
        decide(&self.authority, &mut { self }, &mut VerifiedCache::default(), request, &moment)
    }

    /// Why a request with this token is denied, if it is.
    pub fn denial(&self, token: &str) -> Option<DenyReason> {
        match self.decide(token) {
            Decision::Allow { .. } => None,
            Decision::Deny { reason, .. } => Some(reason),
        }
    }
}

impl TokenTable for &State {
    fn find(&mut self, fingerprint: Fingerprint) -> Result<Option<TokenEntry>, Unreadable> {
        let (manifest, chunks) = self.base.as_ref().ok_or(Unreadable)?;
        let chunk = chunks.get(&manifest.token_chunk(fingerprint)).ok_or(Unreadable)?;
        Ok(table::find(chunk, fingerprint))
    }
}
