//! The gRPC service: takes a stream and gives it a session.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kya_core::wire::{ControlMessage, ProxyMessage};
use tokio_stream::Stream;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status, Streaming};

use super::Push;
use super::connection::Peer;
use super::outbound;
use super::session;
use crate::nodes::NodeAccess;
use crate::rpc::enforcement_server::{Enforcement, EnforcementServer};

/// The largest message that a proxy may send.
const MAX_RECEIVED_BYTES: usize = 64 * 1024;
/// The largest message that is sent: a manifest of the most chunks that there
/// can be has 4.2 MiB.
const MAX_SENT_BYTES: usize = 8 * 1024 * 1024;
const STREAMS_PER_CONNECTION: u32 = 64;

struct Service {
    push: Arc<Push>,
    access: Arc<NodeAccess>,
}

/// The service, and the HTTP/2 below it: a peer that vanished without a word is
/// noticed after the two keepalive times.
pub(crate) fn grpc_server(push: Arc<Push>, access: Arc<NodeAccess>) -> Router {
    let service = EnforcementServer::new(Service { push, access })
        .max_decoding_message_size(MAX_RECEIVED_BYTES)
        .max_encoding_message_size(MAX_SENT_BYTES);
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .add_service(service)
}

#[tonic::async_trait]
impl Enforcement for Service {
    type StreamStream = Pin<Box<dyn Stream<Item = Result<ControlMessage, Status>> + Send>>;

    async fn stream(
        &self,
        request: Request<Streaming<ProxyMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let Some(peer) = request.extensions().get::<Peer>().cloned() else {
            return Err(Status::internal("the connection has no peer"));
        };
        let headers = request.metadata().as_ref();
        let identity = match self.access.authenticate(headers, peer.address.ip()).await {
            Ok(identity) => identity,
            Err(refusal) => {
                peer.was_refused();
                return Err(refusal.into());
            }
        };
        let limits = &self.push.limits;
        let (lanes, messages) = outbound::lanes(limits.outbound, limits.send_timeout);
        let open = peer.opens_stream();
        // The response begins at once: a client may wait for it before it says
        // Hello.
        let inbound = request.into_inner();
        let push = Arc::clone(&self.push);
        tokio::spawn(session::run(push, peer, identity, open, inbound, lanes));
        Ok(Response::new(Box::pin(messages)))
    }
}
