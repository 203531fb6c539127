//! Requests: from their headers to their end, with the test as client and as
//! upstream.

use super::{FailurePolicy, Proxy};
use crate::clock::nanos;
use crate::headers::HeaderMap;
use crate::http::{HttpStream, Message, Outcome, RequestState};
use crate::profile::Profile;
use crate::vm::{Vm, VmName};

/// A request that the test has begun and not finished. It may be over.
#[derive(Debug)]
#[must_use = "a request ends with `Proxy::finish`"]
pub struct InFlight {
    vm: VmName,
    at: At,
}

#[derive(Debug)]
enum At {
    /// It has this context in the VM of this serial number.
    Vm { serial: u32, context: u32 },
    /// It found no VM that works.
    Nowhere(Outcome),
}

impl InFlight {
    /// The VM that serves it.
    pub fn vm(&self) -> VmName {
        self.vm
    }

    /// The id that the guest knows it by, if it reached one.
    pub fn context(&self) -> Option<u32> {
        match self.at {
            At::Vm { context, .. } => Some(context),
            At::Nowhere(_) => None,
        }
    }
}

impl Proxy {
    /// Sends a request without a body through the filter of this worker, to its
    /// end: an upstream that gets it answers 200. `:method`, `:scheme`,
    /// `:authority` and `:path` are added when they are not among `headers`.
    pub fn request(&mut self, worker: usize, headers: &[(&str, &[u8])]) -> Outcome {
        let request = self.begin(worker, headers);
        self.finish(request)
    }

    /// Sends a request without a body, and leaves it where the filter lets it go.
    ///
    /// # Panics
    /// When the worker is paused: its thread would not have taken the request.
    pub fn begin(&mut self, worker: usize, headers: &[(&str, &[u8])]) -> InFlight {
        self.open(worker, headers, true)
    }

    /// As [`begin`](Self::begin), of a request that has a body:
    /// [`client_sends`](Self::client_sends).
    pub fn begin_with_body(&mut self, worker: usize, headers: &[(&str, &[u8])]) -> InFlight {
        self.open(worker, headers, false)
    }

    /// The client sends a part of the body, the last one if `end`. False when the
    /// request is over.
    ///
    /// # Panics
    /// When the client has ended its request already.
    pub fn client_sends(&mut self, request: &InFlight, part: &[u8], end: bool) -> bool {
        self.on(request, |vm, context| vm.client_sends(context, part, end))
    }

    /// The client ends its request with trailers. False when the request is over.
    ///
    /// # Panics
    /// When the client has ended its request already.
    pub fn client_sends_trailers(
        &mut self,
        request: &InFlight,
        trailers: &[(&str, &[u8])],
    ) -> bool {
        let trailers: HeaderMap = trailers.iter().copied().collect();
        self.on(request, |vm, context| vm.client_sends_trailers(context, trailers))
    }

    /// The client goes away. False when the request is over.
    pub fn client_leaves(&mut self, request: &InFlight) -> bool {
        self.on(request, Vm::client_leaves)
    }

    /// The upstream answers: with headers alone if `end`, or else with a body to
    /// come. False when the request is over.
    ///
    /// # Panics
    /// When the upstream has not seen the request, or has answered already.
    pub fn upstream_answers(
        &mut self,
        request: &InFlight,
        status: u32,
        headers: &[(&str, &[u8])],
        end: bool,
    ) -> bool {
        let mut all = HeaderMap::default();
        all.add(":status", status.to_string());
        headers.iter().for_each(|(name, value)| all.add(name, *value));
        self.on(request, |vm, context| vm.upstream_answers(context, all, end))
    }

    /// The upstream sends a part of the body, the last one if `end`. False when the
    /// request is over.
    ///
    /// # Panics
    /// When the upstream has not answered, or has ended its answer already.
    pub fn upstream_sends(&mut self, request: &InFlight, part: &[u8], end: bool) -> bool {
        self.on(request, |vm, context| vm.upstream_sends(context, part, end))
    }

    /// The upstream ends its answer with trailers. False when the request is over.
    ///
    /// # Panics
    /// When the upstream has not answered, or has ended its answer already.
    pub fn upstream_sends_trailers(
        &mut self,
        request: &InFlight,
        trailers: &[(&str, &[u8])],
    ) -> bool {
        let trailers: HeaderMap = trailers.iter().copied().collect();
        self.on(request, |vm, context| vm.upstream_sends_trailers(context, trailers))
    }

    /// The upstream's connection breaks: the proxy answers 503, or resets a response
    /// that has begun. False when the request is over.
    ///
    /// # Panics
    /// When the upstream has not seen the request.
    pub fn upstream_leaves(&mut self, request: &InFlight) -> bool {
        self.on(request, Vm::upstream_leaves)
    }

    /// There is no upstream to connect to: the proxy answers 503, and nothing is sent.
    /// False when the request is over.
    ///
    /// # Panics
    /// When the filter has not let the request go.
    pub fn upstream_is_missing(&mut self, request: &InFlight) -> bool {
        self.on(request, Vm::upstream_is_missing)
    }

    /// A property that the filter has set of a request, by its name.
    pub fn property_set(&self, request: &InFlight, name: &str) -> Option<Vec<u8>> {
        self.stream(request)?.properties.get(name.as_bytes()).cloned()
    }

    /// Where a request is now.
    pub fn state(&self, request: &InFlight) -> RequestState {
        match &request.at {
            At::Nowhere(Outcome::Trap(trap)) => RequestState::Trapped(trap.clone()),
            At::Nowhere(_) => RequestState::FailedClosed,
            At::Vm { .. } => {
                self.stream(request).map_or(RequestState::FailedClosed, HttpStream::state)
            }
        }
    }

    /// What the upstream has got of a request so far; `None` when it has not seen
    /// it.
    pub fn at_upstream(&self, request: &InFlight) -> Option<Message> {
        self.stream(request).and_then(|stream| stream.request.passed.clone())
    }

    /// What the client has got of a response so far, whoever gave it; `None` before
    /// its headers.
    pub fn at_client(&self, request: &InFlight) -> Option<Message> {
        self.stream(request).and_then(|stream| stream.response.passed.clone())
    }

    /// Brings a request to its end, if it is not there, and says what became of it:
    /// an upstream that has it answers 200, one that is answering ends, and a
    /// request that the filter holds is given up by its client.
    pub fn finish(&mut self, request: InFlight) -> Outcome {
        let (serial, context) = match request.at {
            At::Nowhere(outcome) => return outcome,
            At::Vm { serial, context } => (serial, context),
        };
        let vm = self.vm_mut(request.vm);
        if vm.serial() == serial {
            return vm.finish(context).unwrap_or(Outcome::FailClosed);
        }
        let departed = self.departed.remove(&(serial, context));
        departed.map_or(Outcome::FailClosed, HttpStream::into_outcome)
    }

    fn open(&mut self, worker: usize, headers: &[(&str, &[u8])], end: bool) -> InFlight {
        let vm = VmName::Worker(worker);
        assert!(!self.paused.contains(&vm), "{vm} is paused and takes no requests");
        if self.failed(vm) && self.may_reload(vm) {
            // Envoy fails closed when the new VM does not start either.
            if let Err(error) = self.replace(vm) {
                return InFlight { vm, at: At::Nowhere(Outcome::Trap(error.to_string())) };
            }
        }
        if self.failed(vm) {
            return InFlight { vm, at: At::Nowhere(Outcome::FailClosed) };
        }
        let serving = self.vm_mut(vm);
        let context = serving.begin(complete(headers), end);
        InFlight { vm, at: At::Vm { serial: serving.serial(), context } }
    }

    /// True when a failed VM is to be replaced for the next request.
    fn may_reload(&self, vm: VmName) -> bool {
        let age = self.monotonic() - self.vm(vm).peek().born;
        self.settings.profile == Profile::Nginx
            || (self.policy == FailurePolicy::FailReload && age >= nanos(self.reload_backoff))
    }

    fn stream(&self, request: &InFlight) -> Option<&HttpStream> {
        let At::Vm { serial, context } = request.at else { return None };
        let vm = self.vm(request.vm);
        if vm.serial() == serial {
            vm.peek().any_http(context)
        } else {
            self.departed.get(&(serial, context))
        }
    }

    /// Does something to a request whose VM is still there.
    fn on(&mut self, request: &InFlight, act: impl FnOnce(&mut Vm, u32) -> bool) -> bool {
        let At::Vm { serial, context } = request.at else { return false };
        assert!(!self.paused.contains(&request.vm), "{} is paused", request.vm);
        let vm = self.vm_mut(request.vm);
        vm.serial() == serial && act(vm, context)
    }
}

/// The headers with those that every request has.
pub(crate) fn complete(headers: &[(&str, &[u8])]) -> HeaderMap {
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
