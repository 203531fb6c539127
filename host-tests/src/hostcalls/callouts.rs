//! HTTP calls to other services.

use std::time::Duration;

use super::env_calls;
use super::guest::{Answer, Guest, Stop};
use crate::abi::Status;
use crate::callouts::{CallKey, HttpCall};
use crate::clock::nanos;
use crate::profile::Profile;

env_calls! {
    "proxy_http_call" => http_call,
        (cluster: u32, cluster_length: u32, headers: u32, headers_length: u32, body: u32,
         body_length: u32, trailers: u32, trailers_length: u32, timeout: u32, id_at: u32);
}

/// From where `ngx_wasm_module` can call.
const NGINX_CALLERS: [&str; 4] = [
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_tick",
    "proxy_on_http_call_response",
];

#[expect(clippy::too_many_arguments, reason = "the ABI has them")]
fn http_call(
    guest: &mut Guest<'_>,
    cluster: u32,
    cluster_length: u32,
    headers: u32,
    headers_length: u32,
    body: u32,
    body_length: u32,
    trailers: u32,
    trailers_length: u32,
    timeout: u32,
    id_at: u32,
) -> Answer {
    let cluster = guest.read_text(cluster, cluster_length)?;
    let mut headers = guest.read_headers(headers, headers_length)?;
    let body = guest.read(body, body_length)?;
    let trailers = guest.read_headers(trailers, trailers_length)?;
    // A bad place for the id must show before the call is under way.
    guest.write_u32(id_at, 0)?;
    let state = guest.state();
    if state.settings.profile == Profile::Nginx && !NGINX_CALLERS.contains(&state.export) {
        return Err(Stop::trap("an HTTP call from here"));
    }
    if timeout > i32::MAX.cast_unsigned() || !state.settings.has_cluster(&cluster) {
        return Err(Status::BadArgument.into());
    }
    if !body.is_empty() {
        headers.replace("content-length", body.len().to_string());
    }
    let timeout = (timeout > 0).then(|| Duration::from_millis(timeout.into()));
    let (vm, serial, context) = (state.name, state.serial, state.context_id());
    let id = state.next_http_call_id();
    let mut process = state.process.lock();
    let deadline = timeout.map(|it| process.clock.monotonic() + nanos(it));
    let key = CallKey { vm: serial, id };
    process.calls.start(HttpCall {
        key,
        vm,
        id,
        context,
        cluster,
        headers,
        body,
        trailers,
        timeout,
        deadline,
    })?;
    drop(process);
    guest.write_u32(id_at, id)
}
