//! What a guest does to a request: answer it, continue it, reset it.

use super::env_calls;
use super::guest::{Answer, Guest, Stop};
use crate::abi::{Status, StreamType};
use crate::http::{Direction, LocalResponse};
use crate::profile::Profile;
use crate::vm::AfterCall;

env_calls! {
    "proxy_send_local_response" => send_local_response,
        (status: u32, details: u32, details_length: u32, body: u32, body_length: u32, headers: u32,
         headers_length: u32, grpc_status: i32);
    "proxy_continue_stream" => continue_stream, (stream: u32);
    "proxy_close_stream" => close_stream, (stream: u32);
}

#[expect(clippy::too_many_arguments, reason = "the ABI has them")]
fn send_local_response(
    guest: &mut Guest<'_>,
    status: u32,
    details: u32,
    details_length: u32,
    body: u32,
    body_length: u32,
    headers: u32,
    headers_length: u32,
    grpc_status: i32,
) -> Answer {
    let response = LocalResponse {
        status,
        details: guest.read_text(details, details_length)?,
        headers: guest.read_headers(headers, headers_length)?,
        body: guest.read(body, body_length)?,
        grpc_status: (grpc_status >= 0).then_some(grpc_status),
    };
    let state = guest.state();
    if state.settings.profile == Profile::Nginx && state.export == "proxy_on_tick" {
        return Err(Stop::trap("a local response from a tick"));
    }
    state.stops = true;
    let (vm, context) = (state.name, state.context_id());
    // Outside of a request, and after its end, Envoy has nobody to answer, and
    // says nothing.
    let Some(stream) = state.stream().filter(|stream| stream.end.is_none()) else { return Ok(()) };
    if stream.is_answered() {
        let violation = format!("{vm} answered request {context} a second time");
        state.process.lock().violations.push(violation);
        return Ok(());
    }
    stream.local_response = Some(response);
    state.after_call.push_back(AfterCall::Respond { context });
    Ok(())
}

fn continue_stream(guest: &mut Guest<'_>, stream: u32) -> Answer {
    let kind = StreamType::from_number(stream).ok_or(Status::BadArgument)?;
    let direction = Direction::of(kind).ok_or(Status::BadArgument)?;
    let state = guest.state();
    let context = state.context_id();
    let inside = state.export == direction.on_headers() && context == state.current;
    if let Some(stream) = state.stream() {
        stream.close_request_maps();
        state.after_call.push_back(AfterCall::Continue { context, direction, inside });
    }
    Ok(())
}

fn close_stream(guest: &mut Guest<'_>, stream: u32) -> Answer {
    let kind = StreamType::from_number(stream).ok_or(Status::BadArgument)?;
    // A request has no TCP connection of its own to close.
    if Direction::of(kind).is_none() {
        return Ok(());
    }
    let state = guest.state();
    let context = state.context_id();
    if let Some(stream) = state.stream() {
        stream.resetting = true;
        state.after_call.push_back(AfterCall::Reset { context });
    }
    Ok(())
}
