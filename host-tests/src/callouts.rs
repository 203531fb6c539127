//! HTTP calls that guests make, with the test as the server.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::abi::Status;
use crate::headers::HeaderMap;
use crate::vm::VmName;

/// One call of one VM. Ids repeat among VMs, keys do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey {
    pub(crate) vm: u32,
    pub(crate) id: u32,
}

/// A call that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCall {
    /// Handle for [`Proxy::answer_call`](crate::Proxy::answer_call) and its like.
    pub key: CallKey,
    /// Whose it is.
    pub vm: VmName,
    /// The id that the guest knows it by.
    pub id: u32,
    /// The context that made it. The answer goes to the root context all the
    /// same.
    pub context: u32,
    /// The cluster that it leads to.
    pub cluster: String,
    /// Headers, with `:method`, `:path` and `:authority`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// Trailers.
    pub trailers: HeaderMap,
    /// After how long the proxy gives up; `None` for never.
    pub timeout: Option<Duration>,
    /// The monotonic instant of that.
    pub(crate) deadline: Option<u64>,
}

/// What a guest is told of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct CallAnswer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl CallAnswer {
    pub(crate) fn new(status: u32, headers: HeaderMap, body: &[u8]) -> Self {
        let mut all = HeaderMap::default();
        all.add(":status", status.to_string());
        headers.iter().for_each(|(name, value)| all.add(name, value));
        Self { headers: all, body: body.to_vec() }
    }

    /// What Envoy's own HTTP client makes up when there is no answer.
    pub(crate) fn of_the_proxy(status: u32, text: &str) -> Self {
        let mut headers = HeaderMap::default();
        headers.add("content-length", text.len().to_string());
        headers.add("content-type", "text/plain");
        Self::new(status, headers, text.as_bytes())
    }
}

/// Headers that a call must have.
const REQUIRED: [&str; 3] = [":method", ":path", ":authority"];

/// The calls of a process that have no answer yet.
#[derive(Debug, Default)]
pub(crate) struct HttpCalls(BTreeMap<CallKey, HttpCall>);

impl HttpCalls {
    /// Takes a call up.
    ///
    /// # Errors
    /// [`Status::BadArgument`] without one of the headers that it needs.
    pub(crate) fn start(&mut self, call: HttpCall) -> Result<(), Status> {
        if REQUIRED.iter().any(|name| call.headers.get(name).is_none()) {
            return Err(Status::BadArgument);
        }
        self.0.insert(call.key, call);
        Ok(())
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &HttpCall> {
        self.0.values()
    }

    pub(crate) fn contains(&self, key: CallKey) -> bool {
        self.0.contains_key(&key)
    }

    pub(crate) fn remove(&mut self, key: CallKey) -> Option<HttpCall> {
        self.0.remove(&key)
    }

    /// A VM is gone, and its calls with it.
    pub(crate) fn remove_all_of(&mut self, vm: u32) {
        self.0.retain(|key, _| key.vm != vm);
    }
}
