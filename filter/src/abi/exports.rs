//! What the proxy calls.
//!
//! The ABI does not forbid a host to call back from inside a host call, for
//! example with the end of a stream that could not be opened. Envoy puts such
//! calls off until the guest has returned; this module does not rely on it.
//! Events are queued, and whoever is at work when one arrives takes it up when
//! done.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use super::imports::{self, Proxy};
use crate::config::Config;
use crate::host::{Host, LogLevel, Refused, StreamEnd, StreamId};
use crate::request::Flow;
use crate::vm::{TICK_MILLIS, VERSION, Vm};

/// Most events that wait while a host call is under way; more are dropped. A
/// dropped update is a gap, which is noticed and asked for again.
const MAX_PENDING: usize = 1024;

// `proxy_action_t`.
const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;

type ContextId = u32;

#[derive(Default)]
struct Contexts {
    /// One VM object for each plugin configuration in this wasm VM, by root
    /// context. Empty until it is configured.
    roots: BTreeMap<ContextId, Option<Vm<Proxy>>>,
    /// The root context of each request.
    requests: BTreeMap<ContextId, ContextId>,
}

impl Contexts {
    fn configure(&mut self, root: ContextId, config: Config) -> Result<(), Refused> {
        self.stop(root);
        self.roots.insert(root, Some(Vm::new(Proxy, config)?));
        Ok(())
    }

    fn stop(&mut self, root: ContextId) {
        if let Some(Some(mut vm)) = self.roots.remove(&root) {
            vm.stop();
        }
    }
}

/// Something that happened to the plugin of a root context.
enum Event {
    Tick,
    Queue,
    Message(StreamId, Vec<u8>),
    Closed(StreamId, StreamEnd),
}

thread_local! {
    static CONTEXTS: RefCell<Contexts> = RefCell::default();
    static PENDING: RefCell<VecDeque<(ContextId, Event)>> = RefCell::default();
}

/// Queues an event, and works the queue off unless that is under way already.
fn deliver(root: ContextId, event: Event) {
    PENDING.with(|pending| {
        if let Ok(mut pending) = pending.try_borrow_mut()
            && pending.len() < MAX_PENDING
        {
            pending.push_back((root, event));
        }
    });
    CONTEXTS.with(|contexts| {
        if let Ok(mut contexts) = contexts.try_borrow_mut() {
            work_off(&mut contexts);
        }
    });
}

fn work_off(contexts: &mut Contexts) {
    // One pass over at most what can wait: an event that breeds another cannot
    // keep the VM here.
    for _ in 0..MAX_PENDING {
        let next = PENDING.with(|pending| pending.try_borrow_mut().ok()?.pop_front());
        let Some((root, event)) = next else { return };
        let Some(Some(vm)) = contexts.roots.get_mut(&root) else { continue };
        match event {
            Event::Tick => vm.tick(),
            Event::Queue => vm.queue_ready(),
            Event::Message(id, bytes) => vm.stream_message(id, &bytes),
            Event::Closed(id, end) => vm.stream_closed(id, &end),
        }
    }
}

/// Runs `work` on the contexts, then whatever arrived meanwhile. `None` if a
/// host call is under way, from which these callbacks never come.
fn with_contexts<T>(work: impl FnOnce(&mut Contexts) -> T) -> Option<T> {
    CONTEXTS.with(|contexts| {
        let mut contexts = contexts.try_borrow_mut().ok()?;
        let result = work(&mut contexts);
        work_off(&mut contexts);
        Some(result)
    })
}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: the proxy calls this once, before anything else.
    unsafe { __wasm_call_ctors() }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: ContextId, root: ContextId) {
    with_contexts(|contexts| {
        if root == 0 {
            contexts.roots.insert(context, None);
        } else {
            contexts.requests.insert(context, root);
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: ContextId, _size: usize) -> u32 {
    1
}

/// 1 accepts the configuration; 0 makes the proxy refuse the plugin.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: ContextId, size: usize) -> u32 {
    let configured = imports::plugin_configuration(size)
        .map_err(|refused| format!("cannot read the plugin configuration: {refused}"))
        .and_then(|json| Config::parse(&json).map_err(|error| error.to_string()))
        .and_then(|config| {
            imports::set_tick_period(TICK_MILLIS)
                .map_err(|refused| format!("the proxy gives no ticks: {refused}"))?;
            with_contexts(|contexts| contexts.configure(root, config))
                .ok_or_else(|| "configured from inside a host call".to_owned())?
                .map_err(|refused| format!("the proxy gives no randomness: {refused}"))
        });
    match configured {
        Ok(()) => {
            Proxy.log(LogLevel::Info, &format!("filter {VERSION} configured"));
            1
        }
        Err(error) => {
            Proxy.log(LogLevel::Error, &error);
            0
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: ContextId) {
    deliver(root, Event::Tick);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_queue_ready(root: ContextId, _queue: u32) {
    deliver(root, Event::Queue);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_receive(root: ContextId, stream: u32, size: usize) {
    // The message is there only during this call.
    if let Ok(bytes) = imports::stream_message(size) {
        deliver(root, Event::Message(StreamId(stream), bytes));
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_close(root: ContextId, stream: u32, status: u32) {
    // The message is there only during this call.
    let end = StreamEnd::new(status, &imports::stream_end_message());
    deliver(root, Event::Closed(StreamId(stream), end));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: ContextId, _count: usize, _end: u32) -> u32 {
    #[cfg(feature = "crash-for-tests")]
    crash_if_asked();
    let flow = with_contexts(|contexts| {
        let root = contexts.requests.get(&context)?;
        let vm = contexts.roots.get_mut(root)?.as_mut()?;
        Some(vm.request())
    });
    match flow.flatten() {
        Some(Flow::Continue) => CONTINUE,
        // A request of a context that is not known is held, never let through.
        Some(Flow::Stop) | None => PAUSE,
    }
}

/// Tells such a build from every other: `cargo xtask build` looks for this name.
#[cfg(feature = "crash-for-tests")]
#[unsafe(no_mangle)]
extern "C" fn kya_crash_for_tests() {}

/// Traps, which is how a panic ends too, at a request that asks for it.
#[cfg(feature = "crash-for-tests")]
fn crash_if_asked() {
    let headers = Proxy.request_headers().unwrap_or_default();
    if headers.iter().any(|(name, _)| name == b"x-kya-test-crash") {
        core::arch::wasm32::unreachable();
    }
}

/// 1: this context needs nothing more and may be deleted.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(context: ContextId) -> u32 {
    with_contexts(|contexts| contexts.stop(context));
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: ContextId) {
    with_contexts(|contexts| {
        contexts.requests.remove(&context);
        contexts.stop(context);
    });
}
