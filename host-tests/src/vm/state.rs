//! What the host keeps of one VM. It is the data of the VM's `wasmtime::Store`,
//! so every host call reaches it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use wasmtime::{Memory, StoreLimits, StoreLimitsBuilder};

use super::VmName;
use super::spent::Counter;
use crate::abi::{ROOT_CONTEXT, Status};
use crate::callouts::CallAnswer;
use crate::clock::nanos;
use crate::http::{Direction, HttpStream};
use crate::metrics::MetricIds;
use crate::process::SharedProcess;
use crate::profile::Profile;

/// Envoy's limit for the memory of one VM.
const MEMORY_LIMIT: usize = 1 << 30;

/// What every VM of a process is configured with.
#[derive(Debug, Clone)]
pub(crate) struct VmSettings {
    pub(crate) profile: Profile,
    pub(crate) vm_id: String,
    pub(crate) vm_configuration: Vec<u8>,
    pub(crate) plugin_configuration: Vec<u8>,
    pub(crate) environment: BTreeMap<String, String>,
    /// By path: segments with a zero byte between them.
    pub(crate) properties: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Fuel for one call into the guest.
    pub(crate) fuel: u64,
    /// Most of a body that is held for a guest that wants to see it whole.
    pub(crate) buffer_limit: usize,
    /// The clusters that there are; `None` for every name.
    pub(crate) clusters: Option<BTreeSet<String>>,
}

impl VmSettings {
    pub(crate) fn has_cluster(&self, name: &str) -> bool {
        self.clusters.as_ref().is_none_or(|clusters| clusters.contains(name))
    }
}

/// A context that the guest knows.
#[derive(Debug)]
pub(crate) enum Context {
    Root,
    Http(Box<HttpStream>),
}

/// A periodic timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tick {
    /// In nanoseconds.
    pub(crate) period: u64,
    /// Monotonic instant of the next one.
    pub(crate) due: u64,
}

/// How far the end of a plugin has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retirement {
    /// It is to go on.
    None,
    /// It was told, and has asked for time.
    Asked,
    /// It needs nothing more.
    Done,
}

/// What waits until the guest has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterCall {
    GrpcClose {
        context: u32,
        id: u32,
        grpc_status: u32,
    },
    /// A stream goes on. `inside` is true when it was asked for in the very call
    /// that decides about its headers.
    Continue {
        context: u32,
        direction: Direction,
        inside: bool,
    },
    /// The guest's answer to a request goes out.
    Respond {
        context: u32,
    },
    Reset {
        context: u32,
    },
}

/// The host's side of one VM.
pub(crate) struct VmState {
    pub(crate) name: VmName,
    /// Unique within the process: a replacement has another one.
    pub(crate) serial: u32,
    /// The monotonic instant of its start.
    pub(crate) born: u64,
    pub(crate) process: SharedProcess,
    pub(crate) settings: Arc<VmSettings>,
    pub(crate) memory: Option<Memory>,
    pub(crate) contexts: BTreeMap<u32, Context>,
    /// Requests that are over and that the test has not finished.
    pub(crate) ended: BTreeMap<u32, HttpStream>,
    /// The export that is running, for which context, and the context that the
    /// guest chose instead.
    pub(crate) export: &'static str,
    pub(crate) current: u32,
    pub(crate) effective: Option<u32>,
    /// True once the running call has answered some request: whatever it returns,
    /// its own phase stops then.
    pub(crate) stops: bool,
    pub(crate) tick: Option<Tick>,
    pub(crate) metrics: MetricIds,
    /// True while the plugin is configured: only then can it read its configuration.
    pub(crate) configuring: bool,
    /// How far the end of the plugin has come.
    pub(crate) retirement: Retirement,
    pub(crate) grpc_message: Option<Vec<u8>>,
    pub(crate) call_answer: Option<CallAnswer>,
    /// What `proxy_get_status` answers.
    pub(crate) status: (u32, String),
    pub(crate) after_call: VecDeque<AfterCall>,
    pub(crate) limits: StoreLimits,
    pub(crate) counter: Counter,
    next_context: u32,
    next_grpc_id: u32,
    next_call_id: u32,
}

impl VmState {
    pub(crate) fn new(
        name: VmName,
        serial: u32,
        process: SharedProcess,
        settings: Arc<VmSettings>,
    ) -> Self {
        let born = process.lock().clock.monotonic();
        Self {
            name,
            serial,
            born,
            process,
            settings,
            memory: None,
            contexts: BTreeMap::new(),
            ended: BTreeMap::new(),
            export: "",
            current: ROOT_CONTEXT,
            effective: None,
            stops: false,
            tick: None,
            metrics: MetricIds::default(),
            configuring: false,
            retirement: Retirement::None,
            grpc_message: None,
            call_answer: None,
            status: (0, String::new()),
            after_call: VecDeque::new(),
            limits: StoreLimitsBuilder::new().memory_size(MEMORY_LIMIT).build(),
            counter: Counter::default(),
            next_context: ROOT_CONTEXT + 1,
            next_grpc_id: FIRST_GRPC_STREAM_ID,
            next_call_id: FIRST_HTTP_CALL_ID,
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

    /// The request with this context id, whether it is over or not.
    pub(crate) fn any_http(&self, id: u32) -> Option<&HttpStream> {
        match self.contexts.get(&id) {
            Some(Context::Http(stream)) => Some(stream),
            Some(Context::Root) | None => self.ended.get(&id),
        }
    }

    /// A new stream context. Ids are of the VM, as in Envoy.
    pub(crate) fn new_stream(&mut self) -> u32 {
        let id = self.next_context;
        self.next_context += 1;
        self.contexts.insert(id, Context::Http(Box::default()));
        id
    }

    /// Starts, changes or (with 0) stops the timer. It starts anew.
    pub(crate) fn set_tick_period(&mut self, period: std::time::Duration) {
        let period = nanos(period);
        let now = self.process.lock().clock.monotonic();
        self.tick = (period > 0).then_some(Tick { period, due: now + period });
    }

    pub(crate) fn next_grpc_stream_id(&mut self) -> u32 {
        let id = self.next_grpc_id;
        self.next_grpc_id = id.wrapping_add(1 << CALLOUT_KIND_BITS);
        id
    }

    pub(crate) fn next_http_call_id(&mut self) -> u32 {
        let id = self.next_call_id;
        self.next_call_id = id.wrapping_add(1 << CALLOUT_KIND_BITS);
        id
    }
}

/// Envoy keeps the kind of a callout in the two low bits of its id: 0 for HTTP,
/// 1 for a gRPC call, 2 for a gRPC stream.
const CALLOUT_KIND_BITS: u32 = 2;
const FIRST_GRPC_STREAM_ID: u32 = 2;
const FIRST_HTTP_CALL_ID: u32 = 4;

/// Refuses the id of anything but a gRPC stream.
pub(crate) fn grpc_stream_id(id: u32) -> Result<u32, Status> {
    let kind = id & ((1 << CALLOUT_KIND_BITS) - 1);
    if kind == FIRST_GRPC_STREAM_ID { Ok(id) } else { Err(Status::BadArgument) }
}
