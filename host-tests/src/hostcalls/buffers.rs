//! Buffers: configurations, bodies, messages.

use super::env_calls;
use super::guest::{Answer, Guest, Stop};
use crate::abi::{BufferType, Status};

env_calls! {
    "proxy_get_buffer_bytes" => get_bytes,
        (kind: u32, start: u32, most: u32, data_at: u32, length_at: u32);
    "proxy_get_buffer_status" => get_status, (kind: u32, length_at: u32, flags_at: u32);
    "proxy_set_buffer_bytes" => set_bytes,
        (kind: u32, start: u32, length: u32, data: u32, data_length: u32);
}

/// A copy of the buffer. Envoy has one of no bytes where there is nothing, save
/// for the plugin's configuration and the answer to a callout.
fn buffer(guest: &mut Guest<'_>, kind: u32) -> Result<Vec<u8>, Stop> {
    let state = guest.state();
    let found = match BufferType::from_number(kind).ok_or(Status::BadArgument)? {
        BufferType::VmConfiguration => Some(state.settings.vm_configuration.clone()),
        BufferType::PluginConfiguration => {
            state.configuring.then(|| state.settings.plugin_configuration.clone())
        }
        BufferType::HttpCallResponseBody => state.call_answer.as_ref().map(|it| it.body.clone()),
        BufferType::GrpcReceiveBuffer => Some(state.grpc_message.clone().unwrap_or_default()),
        BufferType::HttpRequestBody => {
            Some(state.stream().and_then(|it| it.request.body().cloned()).unwrap_or_default())
        }
        BufferType::HttpResponseBody => {
            Some(state.stream().and_then(|it| it.response.body().cloned()).unwrap_or_default())
        }
        BufferType::DownstreamData | BufferType::UpstreamData | BufferType::CallData => {
            Some(Vec::new())
        }
    };
    Ok(found.ok_or(Status::NotFound)?)
}

fn get_bytes(
    guest: &mut Guest<'_>,
    kind: u32,
    start: u32,
    most: u32,
    data_at: u32,
    length_at: u32,
) -> Answer {
    let buffer = buffer(guest, kind)?;
    let end = start.checked_add(most).ok_or(Status::BadArgument)?;
    let index = |n: u32| usize::try_from(n).unwrap_or(usize::MAX).min(buffer.len());
    guest.give(&buffer[index(start)..index(end)], data_at, length_at)
}

fn get_status(guest: &mut Guest<'_>, kind: u32, length_at: u32, flags_at: u32) -> Answer {
    let length = buffer(guest, kind)?.len();
    guest.write_u32(length_at, u32::try_from(length).unwrap_or(u32::MAX))?;
    guest.write_u32(flags_at, 0)
}

/// A body can be put before, behind or in place of what is there, and not into
/// its middle: so it is in Envoy.
fn set_bytes(
    guest: &mut Guest<'_>,
    kind: u32,
    start: u32,
    length: u32,
    data: u32,
    data_length: u32,
) -> Answer {
    let data = guest.read(data, data_length)?;
    let kind = BufferType::from_number(kind).ok_or(Status::BadArgument)?;
    let stream = guest.state().stream();
    let body = match kind {
        BufferType::HttpRequestBody => stream.and_then(|it| it.request.body_mut()),
        BufferType::HttpResponseBody => stream.and_then(|it| it.response.body_mut()),
        _ => None,
    };
    let body = body.ok_or(Status::BadArgument)?;
    let index = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    match (start, length) {
        (0, 0) => drop(body.splice(..0, data)),
        (0, length) if index(length) >= body.len() => *body = data,
        (start, _) if start > 0 && index(start) >= body.len() => body.extend(data),
        _ => return Err(Status::BadArgument.into()),
    }
    Ok(())
}
