//! A control plane in memory, for tests: it answers what a proxy says as the
//! protocol asks, and the test decides what of that arrives, and when.

pub mod audit;
pub mod capabilities;
pub mod drill;
pub mod operations;
pub mod trail;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::jwt::VerifiedCache;
use crate::wire::{
    self, Status, change::Change, control_message::Message as Control, proxy_message::Message,
    update::Body,
};
use crate::{
    AgentId, Authority, Credential, Decision, Image, Moment, OpaqueToken, Position, PublishedImage,
    Request, Revision, Signer, Standing, TokenDigest, TokenTable, UnixMillis, UnixSeconds, decide,
    records, sign_update,
};

/// The key by which it signs at first.
pub fn signer() -> Signer {
    Signer::from_seed([1; 32])
}

/// Id of agent `n`.
pub fn agent_id(n: u8) -> AgentId {
    AgentId::from_bytes([n; 16])
}

/// Token `n`, as an agent sends it.
pub fn token(n: u8) -> OpaqueToken {
    // Writing one is slow where nothing is optimised.
    static WRITTEN: OnceLock<Vec<OpaqueToken>> = OnceLock::new();
    let write = |n| OpaqueToken::from_random([n; 32]);
    let written = WRITTEN.get_or_init(|| (0..16).map(write).collect());
    written.get(usize::from(n)).cloned().unwrap_or_else(|| write(n))
}

/// The value of the `authorization` header of a request with this token.
pub fn bearer(token: &OpaqueToken) -> String {
    format!("Bearer {}", token.reveal())
}

/// Agent `n` with this status.
pub fn agent(n: u8, status: Status) -> Change {
    standing(n, wire::Standing { status: status.into(), ..Standing::ACTIVE.into() })
}

/// Agent `n` with this standing.
pub fn standing(n: u8, standing: wire::Standing) -> Change {
    let id = agent_id(n).to_bytes().into();
    Change::Agent(wire::Agent { id, standing: Some(standing), ..Default::default() })
}

/// The one grant of agent `n`, which has its number.
pub fn grant(n: u8) -> Change {
    Change::Grant(wire::Grant {
        index: n.into(),
        agent_id: agent_id(n).to_bytes().into(),
        ..Default::default()
    })
}

/// Token `n`, held by agent `n` until second 1 000 000.
pub fn held(n: u8) -> wire::Token {
    held_by(n, n)
}

/// Token `n`, held by agent `holder` until second 1 000 000.
pub fn held_by(n: u8, holder: u8) -> wire::Token {
    wire::Token { digest: token(n).digest().0.into(), ..of_grant(holder) }
}

/// One of any number of tokens of agent 9.
pub fn filler(n: u32) -> wire::Token {
    let mut digest = Sha256::digest(n.to_le_bytes()).to_vec();
    digest.truncate(16);
    digest.resize(32, 0);
    wire::Token { digest, ..of_grant(9) }
}

fn of_grant(holder: u8) -> wire::Token {
    wire::Token {
        digest: vec![],
        grant: holder.into(),
        issued_unix_seconds: 100,
        expires_unix_seconds: 1_000_000,
        revoked: false,
    }
}

/// A control plane. At first agents 1 and 2 hold tokens 1 and 2, at revision 5 of
/// epoch 1.
#[derive(Debug)]
pub struct ControlPlane {
    /// What it signs with.
    pub signer: Signer,
    /// Its newest position.
    pub position: Position,
    /// What its clock shows, in milliseconds.
    pub unix_millis: u64,
    image: Image,
    deltas: BTreeMap<u64, wire::SignedUpdate>,
    images: Vec<PublishedImage>,
    keys: Vec<wire::SignedUpdate>,
    /// Most chunks of one message.
    pub chunks_a_message: usize,
    /// Most chunks of one pull.
    pub chunks_a_pull: usize,
    /// What proxies have reported.
    pub trail: trail::Trail,
}

impl ControlPlane {
    /// One whose clock shows second 1000.
    #[allow(clippy::new_without_default, reason = "it is not empty")]
    pub fn new() -> Self {
        let mut plane = Self {
            signer: signer(),
            position: Position { epoch: 1, revision: Revision(5) },
            unix_millis: 1_000_000,
            image: Image::new(),
            deltas: BTreeMap::new(),
            images: Vec::new(),
            keys: Vec::new(),
            chunks_a_message: 256,
            chunks_a_pull: 256,
            trail: trail::Trail::default(),
        };
        for n in [1, 2] {
            let records = [agent(n, Status::Active), grant(n), Change::Token(held(n))];
            records.into_iter().for_each(|record| plane.record(record));
        }
        plane
    }

    /// A record takes the place of what was said before, without a revision of
    /// its own.
    pub fn record(&mut self, record: Change) {
        self.image.apply(&wire::Change { change: Some(record) }).unwrap();
    }

    /// Signs something at the present position and time.
    pub fn sign(&self, body: Body) -> wire::SignedUpdate {
        self.sign_at(self.position, body)
    }

    /// Signs something at another position.
    pub fn sign_at(&self, position: Position, body: Body) -> wire::SignedUpdate {
        let Position { epoch, revision } = position;
        let body = Some(body);
        let unix_millis = self.unix_millis;
        let update = wire::Update { epoch, revision: revision.0, unix_millis, body };
        sign_update(&self.signer, &update)
    }

    /// Commits changes, and returns the delta.
    pub fn commit(&mut self, records: impl IntoIterator<Item = Change>) -> wire::SignedUpdate {
        let records: Vec<_> = records.into_iter().collect();
        records.iter().cloned().for_each(|record| self.record(record));
        self.position = self.position.next();
        let changes = records.into_iter().map(|it| wire::Change { change: Some(it) }).collect();
        let delta = self.sign(Body::Delta(wire::Delta { changes }));
        self.deltas.insert(self.position.revision.0, delta.clone());
        delta
    }

    /// A new history begins, with the same records.
    pub fn begin_epoch(&mut self, position: Position) {
        self.position = position;
        self.deltas.clear();
    }

    /// A new history begins, as after a backup was put back: the records are
    /// those of a new control plane.
    pub fn restore_backup(&mut self, position: Position) {
        let fresh = Self::new();
        self.image = fresh.image;
        self.position = position;
        self.deltas.clear();
    }

    /// Deltas that lead here are not kept any more.
    pub fn forget_deltas(&mut self) {
        self.deltas.clear();
    }

    /// The delta that leads to a revision.
    pub fn delta(&self, revision: u64) -> wire::SignedUpdate {
        self.deltas[&revision].clone()
    }

    /// Tokens that expired before `horizon` leave the image.
    pub fn forget_expired(&mut self, horizon: u64) {
        self.image.forget_expired(UnixSeconds(horizon), 0, usize::MAX);
    }

    /// What it decides itself.
    pub fn decide(&mut self, token: &OpaqueToken, seconds: u64) -> Decision {
        let published = self.image.publish();
        let chunks = published.manifest().records();
        let records = chunks.flat_map(|index| records(published.chunk(index).unwrap()).unwrap());
        let authority = Authority::default().reloaded(self.position, records).unwrap();
        let credential = Credential::Opaque(token.digest());
        let request = Request { credential, action: None, service: None };
        let now = UnixMillis(seconds * 1_000);
        let moment = Moment { now, state_age: 0, max_staleness: None };
        decide(&authority, &mut &self.image, &mut VerifiedCache::default(), &request, &moment)
    }

    /// A manifest of what it knows now.
    pub fn manifest(&mut self, nonce: &[u8]) -> wire::SignedUpdate {
        let image = self.image.publish();
        let manifest = image.manifest().to_wire(nonce);
        self.images.push(image);
        self.sign(Body::Manifest(manifest))
    }

    /// The image that was described last.
    pub fn published(&self) -> PublishedImage {
        self.images.last().expect("a manifest").clone()
    }

    /// A heartbeat.
    pub fn heartbeat(&self, nonce: &[u8]) -> wire::SignedUpdate {
        self.sign(Body::Heartbeat(wire::Heartbeat { nonce: nonce.into() }))
    }

    /// The chunks that were asked for, of any manifest that it has made.
    pub fn chunks(&self, request: &wire::ChunkRequest) -> wire::Chunks {
        let image = self.images.iter().find(|image| image.id().0 == request.image[..]);
        let chunk = |index: &u32| {
            let content = image?.chunk(*index)?.to_vec();
            Some(wire::Chunk { index: *index, content })
        };
        let chunks = request.indexes.iter().filter_map(chunk).collect();
        wire::Chunks { image: request.image.clone(), chunks }
    }

    /// Signs with another key from now on, whose rise an update announces.
    pub fn rotate(&mut self, next: Signer, keys: &[&Signer]) -> wire::SignedUpdate {
        let keys = keys.iter().map(|key| key.public_key().to_bytes().into()).collect();
        let serial = self.keys.len() as u64 + 1;
        let announced = self.sign(Body::Keys(wire::Keys { serial, keys }));
        self.keys.push(announced.clone());
        self.signer = next;
        announced
    }

    /// What it answers to a message on a stream.
    pub fn answer(&mut self, message: &Message) -> Vec<wire::ControlMessage> {
        match message {
            Message::Hello(hello) => self.greet(hello, false),
            Message::Resync(resync) => {
                let manifest = self.manifest(&resync.nonce);
                vec![sealed(manifest), sealed(self.heartbeat(b""))]
            }
            Message::Probe(probe) => vec![sealed(self.heartbeat(&probe.nonce))],
            Message::Chunks(request) => {
                let all = self.chunks(request);
                let parts = all.chunks.chunks(self.chunks_a_message.max(1));
                let part = |chunks: &[wire::Chunk]| {
                    let (image, chunks) = (all.image.clone(), chunks.to_vec());
                    chunked(wire::Chunks { image, chunks })
                };
                let parts: Vec<_> = parts.map(part).collect();
                if parts.is_empty() { vec![chunked(all)] } else { parts }
            }
            Message::Workers(_) => vec![],
        }
    }

    fn greet(&mut self, hello: &wire::Hello, manifest: bool) -> Vec<wire::ControlMessage> {
        let mut said: Vec<_> = self.keys.iter().cloned().map(sealed).collect();
        let have = hello.have.filter(|have| {
            !manifest
                && have.epoch == self.position.epoch
                && (have.revision + 1..=self.position.revision.0)
                    .all(|revision| self.deltas.contains_key(&revision))
        });
        match have {
            Some(have) => {
                said.push(sealed(self.heartbeat(&hello.nonce)));
                said.extend(
                    self.deltas.range(have.revision + 1..).map(|(_, it)| sealed(it.clone())),
                );
            }
            None => {
                said.push(sealed(self.manifest(&hello.nonce)));
                said.push(sealed(self.heartbeat(b"")));
            }
        }
        said
    }

    /// The body that it answers to a call: a pull or a question about a token.
    pub fn respond(&mut self, path: &str, body: &[u8]) -> Vec<u8> {
        match path {
            "/v1/enforcement/pull" => {
                let request = wire::PullRequest::decode(body).unwrap();
                self.pull(&request).encode_to_vec()
            }
            "/v1/enforcement/introspect" => {
                let asked = wire::IntrospectRequest::decode(body).unwrap();
                let digest = TokenDigest::from_slice(&asked.digest).unwrap();
                let mut tokens = &self.image;
                let found = TokenTable::find(&mut tokens, digest.fingerprint());
                let known = found.unwrap().is_some();
                let wire::IntrospectRequest { nonce, digest } = asked;
                let answer = wire::Introspection { nonce, digest, known };
                self.sign(Body::Introspection(answer)).encode_to_vec()
            }
            "/v1/enforcement/audit" => {
                let receipt = self.trail.take(body);
                self.sign(Body::AuditReceipt(receipt)).encode_to_vec()
            }
            path => panic!("no such endpoint: {path}"),
        }
    }

    fn pull(&mut self, request: &wire::PullRequest) -> wire::PullResponse {
        let hello = request.hello.as_ref().unwrap();
        let messages = match &request.chunks {
            Some(chunks) => {
                let proof = sealed(self.heartbeat(&hello.nonce));
                let mut chunks = self.chunks(chunks);
                chunks.chunks.truncate(self.chunks_a_pull);
                vec![proof, chunked(chunks)]
            }
            None => self.greet(hello, request.manifest),
        };
        wire::PullResponse { messages }
    }
}

/// A signed update as a message.
pub fn sealed(signed: wire::SignedUpdate) -> wire::ControlMessage {
    wire::ControlMessage { message: Some(Control::Signed(signed)) }
}

/// Chunks as a message.
pub fn chunked(chunks: wire::Chunks) -> wire::ControlMessage {
    wire::ControlMessage { message: Some(Control::Chunks(chunks)) }
}
