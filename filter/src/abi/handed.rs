//! What the proxy hands over while one of its calls runs, and only then.

use super::imports::*;
use crate::host::{HttpResponse, MAX_BODY, Refused};

/// `proxy_status_t`.
const OK: u32 = 0;
/// `proxy_header_map_type_t`.
const HTTP_CALL_RESPONSE_HEADERS: u32 = 6;

// `proxy_buffer_type_t`.
const REQUEST_BODY: u32 = 0;
const HTTP_CALL_RESPONSE_BODY: u32 = 4;
const GRPC_RECEIVE_BUFFER: u32 = 5;
const PLUGIN_CONFIGURATION: u32 = 7;

/// The configuration of the plugin whose `proxy_on_configure` is running.
pub(super) fn plugin_configuration(size: usize) -> Result<Vec<u8>, Refused> {
    buffer(PLUGIN_CONFIGURATION, 0, size)
}

/// The message of the `proxy_on_grpc_receive` that is running.
pub(super) fn stream_message(size: usize) -> Result<Vec<u8>, Refused> {
    buffer(GRPC_RECEIVE_BUFFER, 0, size)
}

/// What the other side said in the `proxy_on_grpc_close` that is running.
pub(super) fn stream_end_message() -> Vec<u8> {
    let mut status = 0;
    let mut out = Returned::new();
    // SAFETY: all three out-pointers are valid for the call.
    let outcome = unsafe { proxy_get_status(&mut status, &mut out.data, &mut out.size) };
    if outcome == OK { out.take() } else { Vec::new() }
}

/// The response of the `proxy_on_http_call_response` that is running; `None` if
/// the call failed, or what came is too long or no HTTP response.
pub(super) fn http_response(header_count: usize, body_size: usize) -> Option<HttpResponse> {
    if header_count == 0 || body_size > MAX_BODY {
        return None;
    }
    let mut out = Returned::new();
    let name = b":status";
    // SAFETY: the name is live, and both out-pointers are valid, for the call.
    check(unsafe {
        proxy_get_header_map_value(
            HTTP_CALL_RESPONSE_HEADERS,
            name.as_ptr(),
            name.len(),
            &mut out.data,
            &mut out.size,
        )
    })
    .ok()?;
    let status = std::str::from_utf8(&out.take()).ok()?.parse().ok()?;
    let body = buffer(HTTP_CALL_RESPONSE_BODY, 0, body_size).ok()?;
    (body.len() == body_size).then_some(HttpResponse { status, body })
}

/// A piece of the part of the body of the `proxy_on_request_body` that is running.
pub(super) fn request_body(start: usize, most: usize) -> Result<Vec<u8>, Refused> {
    buffer(REQUEST_BODY, start, most)
}

fn buffer(kind: u32, start: usize, size: usize) -> Result<Vec<u8>, Refused> {
    if size == 0 {
        return Ok(Vec::new());
    }
    let mut out = Returned::new();
    // SAFETY: both out-pointers are valid for the call.
    check(unsafe { proxy_get_buffer_bytes(kind, start, size, &mut out.data, &mut out.size) })?;
    Ok(out.take())
}
