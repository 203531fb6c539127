//! A proxy of the tests that pulls.

use std::collections::HashMap;

use kya_core::wire::control_message::Message as Said;
use kya_core::wire::{
    ChunkRequest, ControlMessage, Hello, PullRequest, PullResponse, SignedUpdate,
};
use kya_core::{Body, Manifest, Position, PublicKey, VerifiedUpdate, Verifier};
use prost::Message;
use reqwest::{Method, RequestBuilder, header};

use super::ControlPlane;
use super::api::Answer;
use super::proxy::hello;
use super::state::State;

pub const PULL: &str = "/v1/enforcement/pull";
pub const INTROSPECT: &str = "/v1/enforcement/introspect";

pub struct Puller {
    pub state: State,
    verifier: Verifier,
    hello: Hello,
    pulls: u8,
}

/// A request with this message, authenticated as a proxy.
pub fn request(plane: &ControlPlane, path: &str, message: &impl Message) -> RequestBuilder {
    let request = plane.api.request(Method::POST, path).bearer_auth(&plane.credential);
    let request = request.body(message.encode_to_vec());
    request.header(header::CONTENT_TYPE, "application/x-protobuf")
}

/// What the problem with this message is.
pub async fn problem(plane: &ControlPlane, path: &str, message: &impl Message) -> String {
    Answer::of(request(plane, path, message)).await.problem(422, "invalid_request")
}

/// The answer to this message.
pub async fn ask<T: Message + Default>(
    plane: &ControlPlane,
    path: &str,
    message: &impl Message,
) -> T {
    let response = request(plane, path, message).send().await.unwrap();
    let status = response.status();
    let content_type = response.headers()[header::CONTENT_TYPE].clone();
    let bytes = response.bytes().await.unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
    assert_eq!(content_type, "application/x-protobuf");
    T::decode(bytes).unwrap()
}

impl Puller {
    pub fn new(key: PublicKey, node_id: &str) -> Self {
        let verifier = Verifier::new([key]);
        Self { state: State::default(), verifier, hello: hello(node_id), pulls: 0 }
    }

    /// The next pull, with a nonce of its own and what is known.
    pub fn request(&mut self) -> PullRequest {
        self.pulls += 1;
        self.hello.nonce = vec![self.pulls; 32];
        self.hello.have = self.state.authority.position().map(Into::into);
        PullRequest { hello: Some(self.hello.clone()), ..PullRequest::default() }
    }

    /// What a pull is answered, the first message of which must carry its nonce.
    pub async fn send(
        &self,
        plane: &ControlPlane,
        request: &PullRequest,
    ) -> (VerifiedUpdate, Vec<ControlMessage>) {
        let mut messages = ask::<PullResponse>(plane, PULL, request).await.messages;
        let first = self.verify(messages.remove(0));
        let nonce = match first.body() {
            Body::Manifest { nonce, .. } | Body::Heartbeat { nonce: Some(nonce) } => nonce.0,
            other => panic!("no answer: {other:?}"),
        };
        assert_eq!(nonce, [self.pulls; 32]);
        (first, messages)
    }

    /// Pulls once, and takes over whatever comes. Returns how many deltas did.
    pub async fn pull(&mut self, plane: &ControlPlane) -> usize {
        let request = self.request();
        let (first, rest) = self.send(plane, &request).await;
        match first.body() {
            Body::Manifest { manifest, .. } => {
                self.fetch(plane, first.position(), manifest).await;
            }
            // It speaks of the newest, and what leads there follows.
            _ => assert!(Some(first.position()) >= self.state.authority.position()),
        }
        let mut deltas = 0;
        for message in &rest {
            let update = self.verify(message.clone());
            if let Body::Delta(_) = update.body() {
                self.state.apply(&update);
                deltas += 1;
            }
        }
        deltas
    }

    async fn fetch(&mut self, plane: &ControlPlane, at: Position, manifest: &Manifest) {
        let mut fresh = HashMap::new();
        let missing = self.state.missing(manifest);
        while fresh.len() < missing.len() {
            let wanted = missing.iter().copied().filter(|index| !fresh.contains_key(index));
            let indexes = wanted.take(4096).collect();
            let image = manifest.image().0.to_vec();
            let mut request = self.request();
            request.chunks = Some(ChunkRequest { image: image.clone(), indexes });
            let (_, mut rest) = self.send(plane, &request).await;
            let Some(Said::Chunks(chunks)) = rest.remove(0).message else { panic!("no chunks") };
            assert_eq!((chunks.image, rest.len()), (image, 0));
            assert!(!chunks.chunks.is_empty(), "the image is gone");
            let bytes: usize = chunks.chunks.iter().map(|chunk| chunk.content.len()).sum();
            assert!(bytes < 1_100_000, "{bytes} bytes in one answer");
            for chunk in chunks.chunks {
                assert!(manifest.fits(chunk.index, &chunk.content));
                fresh.insert(chunk.index, chunk.content);
            }
        }
        self.state.rebase(at, manifest, fresh);
    }

    pub fn verify(&self, message: ControlMessage) -> VerifiedUpdate {
        let Some(Said::Signed(signed)) = message.message else { panic!("not signed: {message:?}") };
        self.verify_signed(&signed)
    }

    pub fn verify_signed(&self, signed: &SignedUpdate) -> VerifiedUpdate {
        self.verifier.verify_signed(signed).unwrap()
    }

    pub fn revision(&self) -> u64 {
        self.state.authority.position().unwrap().revision.0
    }
}
