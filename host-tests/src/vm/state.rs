//! What the host keeps of one VM. It is the data of the VM's `wasmtime::Store`,
//! so every host call reaches it.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use wasmtime::{StoreLimits, StoreLimitsBuilder};

use super::VmName;
use crate::abi::{ROOT_CONTEXT, Status};
use crate::clock::nanos;
use crate::headers::HeaderMap;
use crate::metrics::MetricIds;
use crate::process::SharedProcess;
use crate::proxy::LocalResponse;

/// Envoy's limit for the memory of one VM.
const MEMORY_LIMIT: usize = 1 << 30;

/// What every VM of a process is configured with.
#[derive(Debug, Clone)]
pub(crate) struct VmSettings {
    pub(crate) vm_id: String,
    pub(crate) vm_configuration: Vec<u8>,
    pub(crate) plugin_configuration: Vec<u8>,
    /// By path: segments with a zero byte between them.
    pub(crate) properties: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Fuel for one call into the guest.
    pub(crate) fuel: u64,
}

/// A context that the guest knows.
#[derive(Debug)]
pub(crate) enum Context {
    Root,
    Http(Box<HttpStream>),
}

/// What a guest may do with the headers of a request, which depends on the phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderAccess {
    /// They have gone on, or have not come yet.
    None,
    /// They are before the guest.
    ReadWrite,
    /// They are in the log.
    Read,
}

/// One HTTP request, as its context sees it.
#[derive(Debug)]
pub(crate) struct HttpStream {
    pub(crate) request_headers: HeaderMap,
    pub(crate) access: HeaderAccess,
    pub(crate) local_response: Option<LocalResponse>,
    pub(crate) resumed: bool,
    pub(crate) reset: bool,
    pub(crate) properties: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl HttpStream {
    pub(crate) fn new(request_headers: HeaderMap) -> Self {
        Self {
            request_headers,
            access: HeaderAccess::None,
            local_response: None,
            resumed: false,
            reset: false,
            properties: BTreeMap::new(),
        }
    }
}

/// A periodic timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tick {
    /// In nanoseconds.
    pub(crate) period: u64,
    /// Monotonic instant of the next one.
    pub(crate) due: u64,
}

/// What waits until the guest has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterCall {
    GrpcClose { context: u32, id: u32, grpc_status: u32 },
}

/// The host's side of one VM.
pub(crate) struct VmState {
    pub(crate) name: VmName,
    /// Unique within the process: a replacement has another one.
    pub(crate) serial: u32,
    pub(crate) process: SharedProcess,
    pub(crate) settings: Rc<VmSettings>,
    pub(crate) contexts: BTreeMap<u32, Context>,
    /// The context that the running call was made for.
    pub(crate) current: u32,
    /// The one that the guest chose instead.
    pub(crate) effective: Option<u32>,
    pub(crate) tick: Option<Tick>,
    pub(crate) metrics: MetricIds,
    /// True while the plugin is configured: only then can it read its configuration.
    pub(crate) configuring: bool,
    pub(crate) grpc_message: Option<Vec<u8>>,
    pub(crate) grpc_status: (u32, String),
    pub(crate) after_call: VecDeque<AfterCall>,
    pub(crate) limits: StoreLimits,
    next_grpc_id: u32,
}

impl VmState {
    pub(crate) fn new(
        name: VmName,
        serial: u32,
        process: SharedProcess,
        settings: Rc<VmSettings>,
    ) -> Self {
        Self {
            name,
            serial,
            process,
            settings,
            contexts: BTreeMap::new(),
            current: ROOT_CONTEXT,
            effective: None,
            tick: None,
            metrics: MetricIds::default(),
            configuring: false,
            grpc_message: None,
            grpc_status: (0, String::new()),
            after_call: VecDeque::new(),
            limits: StoreLimitsBuilder::new().memory_size(MEMORY_LIMIT).build(),
            next_grpc_id: FIRST_GRPC_STREAM_ID,
        }
    }

    /// The context that a host call speaks for: the effective one as long as it
    /// exists.
    pub(crate) fn context_id(&self) -> u32 {
        self.effective.filter(|id| self.contexts.contains_key(id)).unwrap_or(self.current)
    }

    /// The request that a host call speaks for, if it does for one.
    pub(crate) fn stream(&mut self) -> Option<&mut HttpStream> {
        let id = self.context_id();
        self.http(id)
    }

    /// The request with this context id.
    pub(crate) fn http(&mut self, id: u32) -> Option<&mut HttpStream> {
        match self.contexts.get_mut(&id) {
            Some(Context::Http(stream)) => Some(stream),
            Some(Context::Root) | None => None,
        }
    }

    /// Starts, changes or (with 0) stops the timer. It starts anew.
    pub(crate) fn set_tick_period(&mut self, period: std::time::Duration) {
        let period = nanos(period);
        let now = self.process.borrow().clock.monotonic();
        self.tick = (period > 0).then_some(Tick { period, due: now + period });
    }

    pub(crate) fn next_grpc_stream_id(&mut self) -> u32 {
        let id = self.next_grpc_id;
        self.next_grpc_id = id.wrapping_add(1 << CALLOUT_KIND_BITS);
        id
    }
}

/// Envoy keeps the kind of a callout in the two low bits of its id: 0 for HTTP,
/// 1 for a gRPC call, 2 for a gRPC stream.
const CALLOUT_KIND_BITS: u32 = 2;
const FIRST_GRPC_STREAM_ID: u32 = 2;

/// Refuses the id of anything but a gRPC stream.
pub(crate) fn grpc_stream_id(id: u32) -> Result<u32, Status> {
    let kind = id & ((1 << CALLOUT_KIND_BITS) - 1);
    if kind == FIRST_GRPC_STREAM_ID { Ok(id) } else { Err(Status::BadArgument) }
}
