//! A control plane that keeps everything in memory and sends nothing by itself.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use kya_core::jwt::Claims;
use kya_core::wire::change::Change;
use kya_core::wire::{SignedUpdate, Standing, Status, Token, Update, update};
use kya_core::{MAX_CHANGES, OpaqueToken, Position, PublicKey, Signer, sign_update, testing};
use prost::Message;
use serde_json::{Value, json};

/// When tokens expire that were issued without saying so: in the year 2100.
const FAR_FUTURE: u64 = 4_102_444_800;
/// The credential of the node that a sidecar of the tests is.
pub const NODE_CREDENTIAL: &str = "nc_1fJjkkpe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF12qZorm";

/// [`testing::ControlPlane`] in the words of the tests. At first agents 1 and 2
/// are active, at revision 5 of epoch 1; each change is one revision.
#[derive(Debug)]
pub struct ControlPlane {
    plane: testing::ControlPlane,
    /// By revision, those of this epoch.
    deltas: BTreeMap<u64, SignedUpdate>,
    /// What was issued here, by its digest.
    issued: BTreeMap<Vec<u8>, Token>,
}

impl Default for ControlPlane {
    fn default() -> Self {
        let known = [1, 2].map(testing::held);
        let issued = known.into_iter().map(|token| (token.digest.clone(), token)).collect();
        Self { plane: testing::ControlPlane::new(), deltas: BTreeMap::new(), issued }
    }
}

impl Deref for ControlPlane {
    type Target = testing::ControlPlane;

    fn deref(&self) -> &Self::Target {
        &self.plane
    }
}

impl DerefMut for ControlPlane {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.plane
    }
}

impl ControlPlane {
    /// A control plane, and a token of agent 1.
    pub fn with_an_agent() -> (Self, OpaqueToken) {
        (Self::default(), testing::token(1))
    }

    /// One that signs with a key of its own.
    pub fn with_seed(seed: [u8; 32]) -> Self {
        let mut control = Self::default();
        control.plane.signer = Signer::from_seed(seed);
        control
    }

    /// The key that signs now.
    pub fn public_key(&self) -> PublicKey {
        self.plane.signer.public_key()
    }

    /// The least configuration of a filter that follows this control plane.
    pub fn configuration(&self) -> Value {
        json!({
            "control_plane_cluster": "kya_control_plane",
            "pull_cluster": "kya_pull",
            "update_keys": [self.public_key().to_string()],
            "node_credential": NODE_CREDENTIAL,
        })
    }

    /// The same of a filter before a service that takes capability tokens, and knows
    /// what some requests do; see [`testing::capabilities::configured`].
    pub fn acting_configuration(&self) -> Value {
        let mut configuration = self.configuration();
        testing::capabilities::configured(&mut configuration);
        configuration
    }

    /// The same for a proxy without gRPC.
    pub fn pulling_configuration(&self) -> Value {
        let mut configuration = self.configuration();
        configuration["transport"] = json!("http");
        configuration
    }

    /// Newest revision.
    pub fn revision(&self) -> u64 {
        self.plane.position.revision.0
    }

    /// Commits one change.
    pub fn change(&mut self, record: Change) {
        self.commit([record]);
    }

    /// Commits changes as one revision, and returns the delta.
    pub fn commit(&mut self, records: impl IntoIterator<Item = Change>) -> SignedUpdate {
        let delta = self.plane.commit(records);
        self.deltas.insert(self.revision(), delta.clone());
        delta
    }

    /// Starts a new epoch at the present state, as a restored backup does.
    pub fn next_epoch(&mut self) {
        let Position { epoch, revision } = self.plane.position;
        self.plane.begin_epoch(Position { epoch: epoch + 1, revision });
        self.deltas.clear();
    }

    /// Registers agent `n`, with its grant.
    pub fn register(&mut self, n: u8) {
        self.commit([testing::agent(n, Status::Active), testing::grant(n)]);
    }

    /// Revokes agent `n`.
    pub fn revoke(&mut self, n: u8) {
        self.change(testing::agent(n, Status::Revoked));
    }

    /// Suspends agent `n`.
    pub fn suspend(&mut self, n: u8) {
        self.change(testing::agent(n, Status::Suspended));
    }

    /// Restores agent `n`.
    pub fn restore(&mut self, n: u8) {
        self.change(testing::agent(n, Status::Active));
    }

    /// Gives agent `n` this standing.
    pub fn stand(&mut self, n: u8, standing: Standing) {
        self.change(testing::standing(n, standing));
    }

    /// Capability tokens count from now on that one of these keys of the issuer has
    /// signed, and no others.
    pub fn trust(&mut self, keys: &[u8]) {
        self.change(testing::capabilities::issuer(testing::capabilities::ISSUER, keys));
    }

    /// What agent `n` may do from now on, as a capability token says it.
    pub fn claims(&self, n: u8) -> Claims {
        testing::capabilities::claims(n, self.second())
    }

    /// What its clock shows, in seconds.
    pub fn second(&self) -> u64 {
        self.plane.unix_millis / 1_000
    }

    /// Issues a token that does not expire while a test runs.
    pub fn issue_token(&mut self, agent: u8) -> OpaqueToken {
        self.issue_token_until(agent, FAR_FUTURE)
    }

    /// Issues a token that is expired from this second on.
    pub fn issue_token_until(&mut self, agent: u8, expires_unix_seconds: u64) -> OpaqueToken {
        let (token, record) = self.next_token(agent, expires_unix_seconds);
        self.change(Change::Token(record));
        token
    }

    /// Issues many tokens in few revisions.
    pub fn issue_tokens(&mut self, agent: u8, count: usize) -> Vec<OpaqueToken> {
        let all: Vec<_> = (0..count).map(|_| self.next_token(agent, FAR_FUTURE)).collect();
        let (tokens, records): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        for batch in records.chunks(MAX_CHANGES) {
            self.commit(batch.iter().cloned().map(Change::Token));
        }
        tokens
    }

    /// Revokes one token.
    ///
    /// # Panics
    /// When it was not issued here.
    pub fn revoke_token(&mut self, token: &OpaqueToken) {
        let record = self.issued.get_mut(token.digest().0.as_slice());
        let record = record.expect("a token that was issued here");
        record.revoked = true;
        let record = record.clone();
        self.change(Change::Token(record));
    }

    /// The signed delta of one revision of this epoch, if there is one.
    pub fn delta(&self, revision: u64) -> Option<SignedUpdate> {
        self.deltas.get(&revision).cloned()
    }

    /// Signs a body at another revision of this epoch.
    pub fn sign_as(&self, revision: u64, body: update::Body) -> SignedUpdate {
        let position = Position { revision: kya_core::Revision(revision), ..self.plane.position };
        self.plane.sign_at(position, body)
    }

    fn next_token(&mut self, agent: u8, expires_unix_seconds: u64) -> (OpaqueToken, Token) {
        let mut secret = [0xa5; 32];
        let (number, _) = secret.split_at_mut(8);
        number.copy_from_slice(&self.issued.len().to_le_bytes());
        let token = OpaqueToken::from_random(secret);
        let record = Token {
            digest: token.digest().0.to_vec(),
            grant: agent.into(),
            issued_unix_seconds: self.second(),
            expires_unix_seconds,
            revoked: false,
        };
        self.issued.insert(record.digest.clone(), record.clone());
        (token, record)
    }
}

/// What was signed, signed by a key that nobody has pinned.
pub fn forged(signed: &SignedUpdate) -> SignedUpdate {
    let update = Update::decode(signed.payload.as_slice()).expect("a payload of ours");
    sign_update(&Signer::from_seed([66; 32]), &update)
}

/// The update with its payload decoded, changed and encoded again, under the
/// signature of the payload as it was.
pub fn altered(signed: &SignedUpdate, alter: impl FnOnce(&mut Update)) -> SignedUpdate {
    let mut update = Update::decode(signed.payload.as_slice()).expect("a payload of ours");
    alter(&mut update);
    SignedUpdate { payload: update.encode_to_vec(), ..signed.clone() }
}
