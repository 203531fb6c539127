//! Pull: what a stream would have said, in the answers to HTTP requests.

use std::net::SocketAddr;

use kya_core::wire::{
    ControlMessage, PullRequest, PullResponse, SignedUpdate, control_message::Message,
};
use prost::Message as _;
use thiserror::Error;
use tonic::Status;

use super::Push;
use super::chunks::Wanted;
use super::hello::{Greeting, Malformed};
use super::nodes::{Proxy, TooManyProxies, Transport};
use crate::nodes::NodeName;

/// What the messages of one answer have together, about: the last one may make
/// it more, and a manifest goes alone, however large.
const ANSWER_BYTES: usize = 1024 * 1024;
const MAX_DELTAS: usize = 512;

/// Why a request over HTTP is not answered.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    /// It is not what the protocol allows.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It cannot be answered now.
    #[error("{0}")]
    Unavailable(String),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Unavailable(status.message().to_owned())
    }
}

impl From<TooManyProxies> for Refusal {
    fn from(error: TooManyProxies) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Push {
    /// Answers a pull of the proxy at `peer`, which was let in by `registration`, and that may
    /// be for it alone.
    /// `admits` says whether it may call itself by this `node.id`.
    pub(crate) async fn pull<E: From<Refusal>>(
        &self,
        peer: SocketAddr,
        registration: (&NodeName, bool),
        request: PullRequest,
        admits: impl FnOnce(&str) -> Result<(), E>,
    ) -> Result<PullResponse, E> {
        let (greeting, wanted) = read(&request).map_err(Refusal::from)?;
        admits(&greeting.node_id)?;
        let proxy = self.pulling(peer, registration, &greeting);
        let answer = self.answer_pull(proxy, request, &greeting, wanted).await?;
        // Read after everything was signed, so that it leads to whatever signed it.
        let chain = self.signing.chain_after(0).into_iter().map(|link| signed(link.update));
        let messages = chain.chain(answer).collect();
        self.metrics.pulled();
        Ok(PullResponse { messages })
    }

    async fn answer_pull(
        &self,
        proxy: Proxy,
        request: PullRequest,
        greeting: &Greeting,
        wanted: Option<Wanted>,
    ) -> Result<Vec<ControlMessage>, Refusal> {
        // A proxy that names no worker only asks.
        let mut key = None;
        if let Some(report) = request.workers.filter(|report| !report.workers.is_empty()) {
            let entered = self.nodes.pulled(proxy, &report)?;
            self.take_report(entered, &greeting.node_id, &report)?;
            key = Some(entered);
        }
        self.confirm().await?;
        let mut messages = self.answer_greeting(request.manifest, greeting, wanted).await?;
        // After what proves to the proxy that this is no recording.
        messages.extend(key.and_then(|key| self.challenge_pulling(key)).map(signed));
        Ok(messages)
    }

    async fn answer_greeting(
        &self,
        manifest: bool,
        greeting: &Greeting,
        wanted: Option<Wanted>,
    ) -> Result<Vec<ControlMessage>, Refusal> {
        let resumes = greeting.have.filter(|have| self.ring.has_all_after(*have));
        // It speaks of the newest, whatever of that comes with it.
        let at = self.confirmed().map(|confirmed| confirmed.at).unwrap_or_default().millis();
        let newest = || signed(self.signing.answer(self.published(), at, greeting.nonce));
        if let Some(wanted) = wanted {
            let answer = newest();
            self.metrics.sent_heartbeat();
            let chunks = wanted.first(self, ANSWER_BYTES)?;
            return Ok(vec![answer, message(Message::Chunks(chunks))]);
        }
        if let Some(have) = resumes.filter(|_| !manifest)
            && let Ok(deltas) = self.ring.after(have, MAX_DELTAS)
        {
            let mut messages = vec![newest()];
            self.metrics.sent_heartbeat();
            let mut bytes = 0usize;
            for (_, delta) in deltas {
                bytes = bytes.saturating_add(delta.encoded_len());
                messages.push(signed(SignedUpdate::clone(&delta)));
                self.metrics.sent_delta();
                if bytes >= ANSWER_BYTES {
                    break;
                }
            }
            return Ok(messages);
        }
        let place = self.manifests.place().await?;
        let (_, manifest) = self.manifests.answer(greeting.nonce, place).await?;
        self.metrics.sent_manifest();
        let mut messages = vec![signed(manifest)];
        // A manifest does not say that there is nothing newer.
        if let Some(confirmed) = self.confirmed() {
            let heartbeat = self.signing.heartbeat(confirmed.position, confirmed.at.millis());
            messages.push(signed(heartbeat));
            self.metrics.sent_heartbeat();
        }
        Ok(messages)
    }

    fn pulling(
        &self,
        peer: SocketAddr,
        (registration, is_named): (&NodeName, bool),
        greeting: &Greeting,
    ) -> Proxy {
        Proxy {
            registration: registration.clone(),
            is_named,
            node_id: greeting.node_id.clone(),
            cluster: greeting.cluster.clone(),
            filter_version: greeting.filter_version.clone(),
            configuration_hash: greeting.configuration_hash,
            transport: Transport::Pull,
            peer,
            connected_at: self.clock.now(),
        }
    }
}

fn read(request: &PullRequest) -> Result<(Greeting, Option<Wanted>), Malformed> {
    let none = || Malformed("a pull needs a `hello`".to_owned());
    let greeting = Greeting::from_hello(request.hello.clone().ok_or_else(none)?)?;
    let wanted = request.chunks.clone().map(Wanted::from_wire).transpose()?;
    if wanted.is_some() && request.manifest {
        return Err(Malformed("a pull asks for chunks or for a manifest, not for both".to_owned()));
    }
    Ok((greeting, wanted))
}

fn signed(update: SignedUpdate) -> ControlMessage {
    message(Message::Signed(update))
}

fn message(message: Message) -> ControlMessage {
    ControlMessage { message: Some(message) }
}
