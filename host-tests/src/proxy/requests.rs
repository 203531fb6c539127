//! Requests: from their headers to their end.

use super::{FailurePolicy, Outcome, Proxy};
use crate::abi::ROOT_CONTEXT;
use crate::headers::HeaderMap;
use crate::vm::{Context, HeaderAccess, HttpStream, VmName};

/// The answer of `proxy_on_request_headers` that lets a request go on. Every
/// other number holds it.
const CONTINUE: u32 = 0;

/// A request that has not ended.
#[derive(Debug)]
#[must_use = "a request ends with `Proxy::finish`"]
pub struct InFlight {
    vm: VmName,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The guest has seen its headers.
    Open { serial: u32, context: u32, continued: bool },
    /// It got no further than this.
    Over(Outcome),
}

impl Proxy {
    /// Sends a request without a body through the filter of this worker, to its
    /// end. `:method`, `:scheme`, `:authority` and `:path` are added when they
    /// are not among `headers`.
    pub fn request(&mut self, worker: usize, headers: &[(&str, &[u8])]) -> Outcome {
        let request = self.begin(worker, headers);
        self.finish(request)
    }

    /// Sends the headers of a request, and leaves it waiting for its upstream (or
    /// for the filter).
    ///
    /// # Panics
    /// When the worker is paused: its thread would not have taken the request.
    pub fn begin(&mut self, worker: usize, headers: &[(&str, &[u8])]) -> InFlight {
        let vm = VmName::Worker(worker);
        assert!(!self.paused.contains(&vm), "{vm} is paused and takes no requests");
        if self.failed(vm) && self.policy == FailurePolicy::FailReload {
            // Envoy fails closed when the new VM does not start either.
            if let Err(error) = self.replace(vm) {
                return InFlight { vm, state: State::Over(Outcome::Trap(error.to_string())) };
            }
        }
        if self.failed(vm) {
            return InFlight { vm, state: State::Over(Outcome::FailClosed) };
        }
        let headers = complete(headers);
        let count = u32::try_from(headers.len()).expect("fewer headers than 2^32");
        let context = self.next_context;
        self.next_context += 1;
        let state = self.vm_mut(vm).state();
        state.contexts.insert(context, Context::Http(Box::new(HttpStream::new(headers))));

        self.call(vm, context, "proxy_on_context_create", &[context, ROOT_CONTEXT]);
        self.allow_headers(vm, context, HeaderAccess::ReadWrite);
        let answer = if self.failed(vm) {
            None
        } else {
            self.call(vm, context, "proxy_on_request_headers", &[context, count, 1])
        };
        if self.failed(vm) {
            let trap = self.traps.last().map(ToString::to_string).unwrap_or_default();
            return InFlight { vm, state: State::Over(Outcome::Trap(trap)) };
        }
        // A guest that does not have the export lets everything pass.
        let continued = answer.is_none_or(|action| action == CONTINUE);
        if continued {
            self.allow_headers(vm, context, HeaderAccess::None);
        }
        let serial = self.vm(vm).serial();
        InFlight { vm, state: State::Open { serial, context, continued } }
    }

    /// Ends a request, as its upstream or its client would, and says how it went.
    pub fn finish(&mut self, request: InFlight) -> Outcome {
        let vm = request.vm;
        let (serial, context, continued) = match request.state {
            State::Over(outcome) => return outcome,
            State::Open { serial, context, continued } => (serial, context, continued),
        };
        if self.failed(vm) || self.vm(vm).serial() != serial {
            return Outcome::FailClosed;
        }
        // As Envoy orders them: the access log comes first.
        self.allow_headers(vm, context, HeaderAccess::Read);
        for export in ["proxy_on_log", "proxy_on_done", "proxy_on_delete"] {
            if !self.failed(vm) {
                self.call(vm, context, export, &[context]);
                self.allow_headers(vm, context, HeaderAccess::None);
            }
        }
        let stream = match self.vm_mut(vm).state().contexts.remove(&context) {
            Some(Context::Http(stream)) => stream,
            Some(Context::Root) | None => panic!("context {context} is not that of a request"),
        };
        match stream.local_response {
            _ if stream.reset => Outcome::Reset,
            Some(response) => Outcome::LocalResponse(response),
            None if continued || stream.resumed => {
                Outcome::Forwarded { headers: stream.request_headers }
            }
            None => Outcome::Paused,
        }
    }

    fn allow_headers(&mut self, vm: VmName, context: u32, access: HeaderAccess) {
        if let Some(stream) = self.vm_mut(vm).state().http(context) {
            stream.access = access;
        }
    }
}

/// The headers with those that every request has.
fn complete(headers: &[(&str, &[u8])]) -> HeaderMap {
    let given: HeaderMap = headers.iter().copied().collect();
    let mut map = HeaderMap::default();
    for (name, value) in
        [(":method", "GET"), (":scheme", "http"), (":authority", "upstream.test"), (":path", "/")]
    {
        if given.get(name).is_none() {
            map.add(name, value);
        }
    }
    given.iter().for_each(|(name, value)| map.add(name, value));
    map
}
