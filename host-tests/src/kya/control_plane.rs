//! A control plane that keeps everything in memory and sends nothing by itself.

use std::collections::BTreeMap;

use kya_core::wire::{
    Agent, AgentStatus, Change, Delta, SignedUpdate, Snapshot, Token, Update, change, update,
};
use kya_core::{AgentId, OpaqueToken, PublicKey, Signer, TokenDigest, sign_update};
use prost::Message;

/// When tokens expire that were issued without saying so: in the year 2100.
const FAR_FUTURE: u64 = 4_102_444_800;

/// The agent that tests call `n`.
pub fn agent_id(n: u8) -> AgentId {
    AgentId::from_bytes([n; 16])
}

/// Authority, and the key that signs it. Each change is one revision of epoch 1,
/// counted from 1.
pub struct ControlPlane {
    signer: Signer,
    epoch: u64,
    agents: BTreeMap<u8, AgentStatus>,
    tokens: Vec<Token>,
    /// What each revision changed; the first is revision 1.
    changes: Vec<change::Change>,
}

impl Default for ControlPlane {
    fn default() -> Self {
        Self::with_seed([1; 32])
    }
}

impl ControlPlane {
    /// An empty registry with a key of its own.
    pub fn with_seed(seed: [u8; 32]) -> Self {
        Self {
            signer: Signer::from_seed(seed),
            epoch: 1,
            agents: BTreeMap::new(),
            tokens: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// A registry in which agent 1 is active, and a token of it.
    pub fn with_an_agent() -> (Self, OpaqueToken) {
        let mut control = Self::default();
        control.agent(1);
        let token = control.issue_token(1);
        (control, token)
    }

    /// The same authority, signed by another key.
    pub fn impostor(&self) -> Self {
        Self {
            signer: Signer::from_seed([66; 32]),
            epoch: self.epoch,
            agents: self.agents.clone(),
            tokens: self.tokens.clone(),
            changes: self.changes.clone(),
        }
    }

    /// The key to pin.
    pub fn public_key(&self) -> PublicKey {
        self.signer.public_key()
    }

    /// The least configuration of a filter that follows this control plane.
    pub fn plugin_configuration(&self) -> String {
        serde_json::json!({
            "control_plane_cluster": "kya_control_plane",
            "update_keys": [self.public_key().to_string()],
        })
        .to_string()
    }

    /// Newest revision.
    pub fn revision(&self) -> u64 {
        u64::try_from(self.changes.len()).expect("a count of changes")
    }

    /// Starts a new epoch at the present state, as a restored backup does.
    pub fn next_epoch(&mut self) {
        self.epoch += 1;
    }

    /// Registers agent `n`.
    pub fn agent(&mut self, n: u8) {
        self.set_agent(n, AgentStatus::Active);
    }

    /// Revokes agent `n`.
    pub fn revoke(&mut self, n: u8) {
        self.set_agent(n, AgentStatus::Revoked);
    }

    /// Suspends agent `n`.
    pub fn suspend(&mut self, n: u8) {
        self.set_agent(n, AgentStatus::Suspended);
    }

    /// Restores agent `n`.
    pub fn restore(&mut self, n: u8) {
        self.set_agent(n, AgentStatus::Active);
    }

    /// Issues a token that does not expire while a test runs.
    pub fn issue_token(&mut self, agent: u8) -> OpaqueToken {
        self.issue_token_until(agent, FAR_FUTURE)
    }

    /// Issues a token that is expired from this second on.
    pub fn issue_token_until(&mut self, agent: u8, expires_unix_seconds: u64) -> OpaqueToken {
        let n = u8::try_from(self.tokens.len() + 1).expect("fewer than 255 tokens");
        let token = OpaqueToken::from_random([n; 32]);
        let record = Token {
            digest: token.digest().0.to_vec(),
            id: vec![n; 16],
            agent_id: vec![agent; 16],
            expires_unix_seconds,
            revoked: false,
        };
        self.tokens.push(record.clone());
        self.changes.push(change::Change::Token(record));
        token
    }

    /// Revokes one token.
    pub fn revoke_token(&mut self, token: &OpaqueToken) {
        let TokenDigest(digest) = token.digest();
        let record = self.tokens.iter_mut().find(|record| record.digest == digest);
        let record = record.expect("a token that was issued here");
        record.revoked = true;
        self.changes.push(change::Change::Token(record.clone()));
    }

    /// The signed snapshot of the present state, in answer to a nonce.
    pub fn snapshot(&self, nonce: &[u8]) -> SignedUpdate {
        let agents = self.agents.iter().map(|(n, status)| agent(*n, *status)).collect();
        let snapshot = Snapshot { nonce: nonce.to_vec(), agents, tokens: self.tokens.clone() };
        self.sign(self.revision(), update::Body::Snapshot(snapshot))
    }

    /// The signed delta of one revision.
    ///
    /// # Panics
    /// When there is no such revision.
    pub fn delta(&self, revision: u64) -> SignedUpdate {
        let at = usize::try_from(revision).expect("a revision").checked_sub(1);
        let change = at.and_then(|at| self.changes.get(at)).expect("a revision that exists");
        let changes = vec![Change { change: Some(change.clone()) }];
        self.sign(revision, update::Body::Delta(Delta { changes }))
    }

    /// Signs a body as this control plane, whatever it says.
    pub fn sign(&self, revision: u64, body: update::Body) -> SignedUpdate {
        let update = Update { epoch: self.epoch, revision, unix_millis: 0, body: Some(body) };
        sign_update(&self.signer, &update)
    }

    fn set_agent(&mut self, n: u8, status: AgentStatus) {
        self.agents.insert(n, status);
        self.changes.push(change::Change::Agent(agent(n, status)));
    }
}

fn agent(n: u8, status: AgentStatus) -> Agent {
    Agent { id: vec![n; 16], status: status.into() }
}

/// The update with its payload decoded, changed and encoded again, under the
/// signature of the payload as it was.
pub fn altered(signed: &SignedUpdate, alter: impl FnOnce(&mut Update)) -> SignedUpdate {
    let mut update = Update::decode(signed.payload.as_slice()).expect("a payload of ours");
    alter(&mut update);
    SignedUpdate { payload: update.encode_to_vec(), ..signed.clone() }
}
