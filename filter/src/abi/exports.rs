//! What the proxy calls.
//!
//! The ABI does not forbid a host to call back from inside a host call, for
//! example with the end of a stream that could not be opened. Envoy puts such
//! calls off until the guest has returned; this module does not rely on it.
//! Events are queued, and whoever is at work when one arrives takes it up when
//! done.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::contexts::{self, Id};
use super::effective::{self, Call};
use super::handed;
use super::proxy::{self, Proxy};
use crate::config::Config;
use crate::host::{CallId, ContextId, Host, HttpResponse, LogLevel, Refused, StreamEnd, StreamId};
use crate::request::Flow;
use crate::role::Role;
use crate::vm::{TICK_MILLIS, VERSION, Vm};

/// Most events that wait while a host call is under way; more are dropped. A
/// dropped update is a gap, which is noticed and asked for again.
const MAX_PENDING: usize = 1024;

// `proxy_action_t`.
const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;
/// `FilterHeadersStatus::StopAllIterationAndWatermark` of the hosts that are
/// built on proxy-wasm-cpp-host.
const STOP_ALL: u32 = 4;

/// Holds a request until it is resumed or answered.
///
/// Envoy takes `PAUSE` for that, too, unless the operator has set
/// `allow_on_headers_stop_iteration`: then the body of a request, which this
/// filter does not ask for, would set a paused request going.
fn hold() -> u32 {
    if effective::works() { STOP_ALL } else { PAUSE }
}

type Contexts = contexts::Contexts<Vm<Proxy>>;

/// Something that happened to the plugin of a root context.
enum Event {
    Tick,
    Queue,
    Message(StreamId, Vec<u8>),
    Closed(StreamId, StreamEnd),
    Response(CallId, Option<HttpResponse>),
}

thread_local! {
    static CONTEXTS: RefCell<Contexts> = RefCell::default();
    static PENDING: RefCell<VecDeque<(Id, Event)>> = RefCell::default();
    /// What the plugins that were here have shown this VM to be.
    static ROLE: Cell<Option<Role>> = const { Cell::new(None) };
}

/// Queues an event, and works the queue off unless that is under way already.
fn deliver(root: Id, event: Event) {
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
        let Some(vm) = contexts.plugin(root) else { continue };
        match event {
            Event::Tick => vm.tick(),
            Event::Queue => vm.queue_ready(),
            Event::Message(id, bytes) => vm.stream_message(id, &bytes),
            Event::Closed(id, end) => vm.stream_closed(id, &end),
            Event::Response(call, response) => vm.http_response(call, response),
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
extern "C" fn proxy_on_context_create(context: Id, parent: Id) {
    let _call = Call::about(context);
    with_contexts(|contexts| contexts.create(context, parent));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: Id, _size: usize) -> u32 {
    1
}

/// 1 accepts the configuration; 0 makes the proxy refuse the plugin.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: Id, size: usize) -> u32 {
    let _call = Call::about(root);
    effective::probe();
    let host = Proxy::new(root);
    let configured = handed::plugin_configuration(size)
        .map_err(|refused| format!("cannot read the plugin configuration: {refused}"))
        .and_then(|json| {
            Config::parse(&json, |name| host.environment(name)).map_err(|error| error.to_string())
        })
        .and_then(|config| {
            proxy::set_tick_period(TICK_MILLIS)
                .map_err(|refused| format!("the proxy gives no ticks: {refused}"))?;
            with_contexts(|contexts| configure(contexts, root, host, config))
                .ok_or_else(|| "configured from inside a host call".to_owned())?
                .map_err(|refused| format!("the proxy gives no randomness: {refused}"))
        });
    match configured {
        Ok(()) => {
            host.log(LogLevel::Info, &format!("filter {VERSION} configured"));
            1
        }
        Err(error) => {
            host.log(LogLevel::Error, &error);
            0
        }
    }
}

fn configure(
    contexts: &mut Contexts,
    root: Id,
    host: Proxy,
    config: Config,
) -> Result<(), Refused> {
    // What one plugin has shown of this VM holds for every other, and for the next.
    let shown = contexts.plugins().map(Vm::role).chain(ROLE.get()).max();
    ROLE.set(shown);
    stop(contexts, root);
    contexts.configure(root, Vm::new(host, config, shown)?);
    Ok(())
}

/// A plugin goes, whatever it still has to say.
fn stop(contexts: &mut Contexts, root: Id) {
    if let Some(mut vm) = contexts.take_plugin(root) {
        vm.stop();
    }
}

/// A plugin is over. False if it is to stay until it says that it has finished.
fn close(contexts: &mut Contexts, root: Id) -> bool {
    let closed = contexts.plugin(root).is_none_or(Vm::stop);
    if closed {
        contexts.take_plugin(root);
    }
    closed
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: Id) {
    let _call = Call::about(root);
    deliver(root, Event::Tick);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_queue_ready(root: Id, _queue: u32) {
    let _call = Call::about(root);
    deliver(root, Event::Queue);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_receive(root: Id, stream: u32, size: usize) {
    let _call = Call::about(root);
    // The message is there only during this call.
    if let Ok(bytes) = handed::stream_message(size) {
        deliver(root, Event::Message(StreamId(stream), bytes));
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_close(root: Id, stream: u32, status: u32) {
    let _call = Call::about(root);
    // The message is there only during this call.
    let end = StreamEnd::new(status, &handed::stream_end_message());
    deliver(root, Event::Closed(StreamId(stream), end));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(
    context: Id,
    call: u32,
    header_count: usize,
    body_size: usize,
    _trailer_count: usize,
) {
    let _call = Call::about(context);
    // The response is there only during this call.
    let response = handed::http_response(header_count, body_size);
    // Calls are made for the root context, but not every host can do that.
    let root =
        CONTEXTS.with(|contexts| contexts.try_borrow().ok()?.root_of(context)).unwrap_or(context);
    deliver(root, Event::Response(CallId(call), response));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: Id, _count: usize, end: u32) -> u32 {
    #[cfg(feature = "crash-for-tests")]
    crash_if_asked();
    let _call = Call::about(context);
    action(with_contexts(|contexts| {
        Some(contexts.arrive(context)?.request(ContextId(context), end != 0))
    }))
}

/// What becomes of a request, by what was said of it. One of a context that is not known
/// is held, never let through.
fn action(flow: Option<Option<Flow>>) -> u32 {
    match flow.flatten() {
        Some(Flow::Continue) => CONTINUE,
        Some(Flow::Stop | Flow::Pause) | None => hold(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(context: Id, size: usize, end: u32) -> u32 {
    let _call = Call::about(context);
    let part = |vm: &mut Vm<Proxy>| vm.request_body(ContextId(context), size, end != 0);
    action(with_contexts(|contexts| contexts.request(context).map(part)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(context: Id, _count: usize) -> u32 {
    let _call = Call::about(context);
    let over = |vm: &mut Vm<Proxy>| vm.request_trailers(ContextId(context));
    action(with_contexts(|contexts| contexts.request(context).map(over)))
}

/// Tells the plugin of a live request about its response, which always goes on.
fn response(context: Id, tell: impl FnOnce(&mut Vm<Proxy>)) -> u32 {
    let _call = Call::about(context);
    with_contexts(|contexts| {
        if let Some(vm) = contexts.request(context) {
            tell(vm);
        }
    });
    CONTINUE
}

/// Envoy calls this for a local response, too.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: Id, _count: usize, end: u32) -> u32 {
    response(context, |vm| vm.response_started(ContextId(context), end != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(context: Id, _size: usize, end: u32) -> u32 {
    // Of what streams by, only the end is of interest.
    if end == 0 {
        return CONTINUE;
    }
    response(context, |vm| vm.response_ended(ContextId(context)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_trailers(context: Id, _count: usize) -> u32 {
    response(context, |vm| vm.response_trailers(ContextId(context)))
}

/// Tells such a build from every other: `cargo xtask build` looks for this name.
#[cfg(feature = "crash-for-tests")]
#[unsafe(no_mangle)]
extern "C" fn kya_crash_for_tests() {}

/// Traps, which is how a panic ends too, at a request that asks for it.
#[cfg(all(feature = "crash-for-tests", target_arch = "wasm32"))]
fn crash_if_asked() {
    let headers = Proxy::new(0).request_headers().unwrap_or_default();
    if headers.iter().any(|(name, _)| name == b"x-kya-test-crash") {
        core::arch::wasm32::unreachable();
    }
}

/// The proxy writes its access log: the last call in which it shows what became of a
/// request.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(context: Id) {
    let _call = Call::about(context);
    end(context);
}

/// 1: this context needs nothing more and may be deleted. 0: a plugin has something to
/// wait for, and says when it has finished.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(context: Id) -> u32 {
    let _call = Call::about(context);
    end(context);
    let closed = with_contexts(|contexts| close(contexts, context));
    closed.map_or(1, u32::from)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: Id) {
    let _call = Call::about(context);
    end(context);
    with_contexts(|contexts| stop(contexts, context));
}

/// The first of the three calls ends a request; the others find it gone.
fn end(context: Id) {
    with_contexts(|contexts| {
        if let Some(vm) = contexts.end(context) {
            vm.request_ended(ContextId(context));
        }
    });
}
