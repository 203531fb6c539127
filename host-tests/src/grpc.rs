//! gRPC streams that guests opened, with the test at the other end.

use std::collections::BTreeMap;

use crate::abi::Status;
use crate::headers::HeaderMap;
use crate::vm::VmName;

/// One stream of one VM. Ids repeat among VMs, keys do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    pub(crate) vm: u32,
    pub(crate) id: u32,
}

/// An open stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcStream {
    /// Handle for [`Proxy::send`](crate::Proxy::send) and its like.
    pub key: StreamKey,
    /// Whose it is.
    pub vm: VmName,
    /// The id that the guest knows it by.
    pub id: u32,
    /// The cluster that it leads to.
    pub cluster: String,
    /// Full name of the gRPC service.
    pub service: String,
    /// Name of the method.
    pub method: String,
    /// What the guest sent ahead of the messages.
    pub metadata: HeaderMap,
    /// True once the guest said that it will send no more.
    pub half_closed: bool,
}

/// How opening a stream fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFailure {
    /// The host call answers with this status and nothing else happens.
    Status(Status),
    /// As Envoy does it when the cluster has no host: the call answers
    /// `InternalFailure`, and when the guest has returned, `proxy_on_grpc_close`
    /// comes for an id that the guest never got.
    CloseAfterCall {
        /// The gRPC status that it is closed with.
        grpc_status: u32,
    },
    /// `proxy_on_grpc_close` comes from inside of the host call, before it answers
    /// `InternalFailure`. Harsher than today's Envoy.
    CloseInsideCall {
        /// The gRPC status that it is closed with.
        grpc_status: u32,
    },
}

/// The streams of a process.
#[derive(Debug, Default)]
pub(crate) struct GrpcStreams {
    open: BTreeMap<StreamKey, GrpcStream>,
    sent: BTreeMap<StreamKey, Vec<Vec<u8>>>,
    pub(crate) failure: Option<StreamFailure>,
}

impl GrpcStreams {
    pub(crate) fn open(&mut self, stream: GrpcStream) {
        self.open.insert(stream.key, stream);
    }

    pub(crate) fn all(&self) -> Vec<GrpcStream> {
        self.open.values().cloned().collect()
    }

    pub(crate) fn is_open(&self, key: StreamKey) -> bool {
        self.open.contains_key(&key)
    }

    /// The guest sends; `end` closes its side.
    pub(crate) fn guest_sends(
        &mut self,
        key: StreamKey,
        message: Vec<u8>,
        end: bool,
    ) -> Result<(), Status> {
        let stream = self.open.get_mut(&key).ok_or(Status::NotFound)?;
        if stream.half_closed {
            return Err(Status::NotFound);
        }
        stream.half_closed = end;
        self.sent.entry(key).or_default().push(message);
        Ok(())
    }

    pub(crate) fn guest_closes(&mut self, key: StreamKey) -> Result<(), Status> {
        self.open.get_mut(&key).ok_or(Status::NotFound)?.half_closed = true;
        Ok(())
    }

    /// Forgets the stream; what was sent on it can still be taken.
    pub(crate) fn remove(&mut self, key: StreamKey) -> Result<(), Status> {
        self.open.remove(&key).map(|_| ()).ok_or(Status::NotFound)
    }

    /// A VM is gone, and its streams with it.
    pub(crate) fn remove_all_of(&mut self, vm: u32) {
        self.open.retain(|key, _| key.vm != vm);
    }

    pub(crate) fn take_sent(&mut self, key: StreamKey) -> Vec<Vec<u8>> {
        self.sent.remove(&key).unwrap_or_default()
    }
}
