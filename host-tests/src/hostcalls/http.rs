//! Header maps, local responses, streams and HTTP callouts.

use wasmtime::Linker;

use super::env_call;
use super::guest::{Answer, Guest, Stop};
use crate::abi::{MapType, Status, StreamType};
use crate::headers::HeaderMap;
use crate::proxy::LocalResponse;
use crate::vm::{HeaderAccess, VmState};

pub(super) fn link(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    env_call!(linker, "proxy_get_header_map_pairs", get_pairs,
        (map: u32, data_at: u32, length_at: u32));
    env_call!(linker, "proxy_set_header_map_pairs", set_pairs, (map: u32, data: u32, length: u32));
    env_call!(linker, "proxy_get_header_map_size", get_size, (map: u32, size_at: u32));
    env_call!(linker, "proxy_get_header_map_value", get_value,
        (map: u32, name: u32, name_length: u32, data_at: u32, length_at: u32));
    env_call!(linker, "proxy_add_header_map_value", add_value,
        (map: u32, name: u32, name_length: u32, value: u32, value_length: u32));
    env_call!(linker, "proxy_replace_header_map_value", replace_value,
        (map: u32, name: u32, name_length: u32, value: u32, value_length: u32));
    env_call!(linker, "proxy_remove_header_map_value", remove_value,
        (map: u32, name: u32, name_length: u32));
    env_call!(linker, "proxy_send_local_response", send_local_response,
        (status: u32, details: u32, details_length: u32, body: u32, body_length: u32,
         headers: u32, headers_length: u32, grpc_status: i32));
    env_call!(linker, "proxy_continue_stream", continue_stream, (stream: u32));
    env_call!(linker, "proxy_close_stream", close_stream, (stream: u32));
    env_call!(linker, "proxy_http_call", http_call,
        (cluster: u32, cluster_length: u32, headers: u32, headers_length: u32, body: u32,
         body_length: u32, trailers: u32, trailers_length: u32, timeout: u32, id_at: u32));
    Ok(())
}

/// The map, if the phase lets the guest read it. Of all maps this host has the
/// headers of the request.
fn readable<'a>(guest: &'a mut Guest<'_>, map: u32) -> Result<Option<&'a HeaderMap>, Stop> {
    let map = MapType::from_number(map).ok_or(Status::BadArgument)?;
    let stream = guest.state().stream().filter(|it| it.access != HeaderAccess::None);
    Ok(stream.filter(|_| map == MapType::HttpRequestHeaders).map(|it| &it.request_headers))
}

/// The map, if the phase lets the guest change it.
fn writable<'a>(guest: &'a mut Guest<'_>, map: u32) -> Result<&'a mut HeaderMap, Stop> {
    let map = MapType::from_number(map).ok_or(Status::BadArgument)?;
    let stream = guest.state().stream().filter(|it| it.access == HeaderAccess::ReadWrite);
    let stream = stream.filter(|_| map == MapType::HttpRequestHeaders);
    Ok(&mut stream.ok_or(Status::BadArgument)?.request_headers)
}

/// A map that is not there reads as empty.
fn get_pairs(guest: &mut Guest<'_>, map: u32, data_at: u32, length_at: u32) -> Answer {
    let map = readable(guest, map)?.filter(|map| !map.is_empty());
    let bytes = map.map(HeaderMap::encode).unwrap_or_default();
    guest.give(&bytes, data_at, length_at)
}

fn set_pairs(guest: &mut Guest<'_>, map: u32, data: u32, length: u32) -> Answer {
    let headers = guest.read_headers(data, length)?;
    *writable(guest, map)? = headers;
    Ok(())
}

fn get_size(guest: &mut Guest<'_>, map: u32, size_at: u32) -> Answer {
    let size = readable(guest, map)?.ok_or(Status::BadArgument)?.byte_size();
    guest.write_u32(size_at, u32::try_from(size).unwrap_or(u32::MAX))
}

fn get_value(
    guest: &mut Guest<'_>,
    map: u32,
    name: u32,
    name_length: u32,
    data_at: u32,
    length_at: u32,
) -> Answer {
    let name = guest.read_text(name, name_length)?;
    let map = readable(guest, map)?.ok_or(Status::BadArgument)?;
    // The first value and no other, as Envoy answers.
    let value = map.get(&name).ok_or(Status::NotFound)?.to_vec();
    guest.give(&value, data_at, length_at)
}

fn add_value(
    guest: &mut Guest<'_>,
    map: u32,
    name: u32,
    name_length: u32,
    value: u32,
    value_length: u32,
) -> Answer {
    let name = guest.read_text(name, name_length)?;
    let value = guest.read(value, value_length)?;
    writable(guest, map)?.add(&name, value);
    Ok(())
}

fn replace_value(
    guest: &mut Guest<'_>,
    map: u32,
    name: u32,
    name_length: u32,
    value: u32,
    value_length: u32,
) -> Answer {
    let name = guest.read_text(name, name_length)?;
    let value = guest.read(value, value_length)?;
    writable(guest, map)?.replace(&name, value);
    Ok(())
}

fn remove_value(guest: &mut Guest<'_>, map: u32, name: u32, name_length: u32) -> Answer {
    let name = guest.read_text(name, name_length)?;
    writable(guest, map)?.remove(&name);
    Ok(())
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
    let (vm, context) = (state.name, state.context_id());
    // Outside of a request Envoy has nobody to answer, and says nothing.
    let Some(stream) = state.stream() else { return Ok(()) };
    if stream.local_response.is_some() || stream.reset {
        // This has crashed Envoy (envoy#23047, envoy#28826).
        let violation = format!("{vm} answered request {context} a second time");
        state.process.borrow_mut().violations.push(violation);
    } else {
        stream.local_response = Some(response);
    }
    Ok(())
}

fn continue_stream(guest: &mut Guest<'_>, stream: u32) -> Answer {
    match StreamType::from_number(stream) {
        Some(StreamType::HttpRequest) => {
            if let Some(stream) = guest.state().stream() {
                stream.resumed = true;
                stream.access = HeaderAccess::None;
            }
            Ok(())
        }
        Some(StreamType::HttpResponse) => Ok(()),
        Some(StreamType::Downstream | StreamType::Upstream) | None => {
            Err(Status::BadArgument.into())
        }
    }
}

fn close_stream(guest: &mut Guest<'_>, stream: u32) -> Answer {
    match StreamType::from_number(stream).ok_or(Status::BadArgument)? {
        StreamType::HttpRequest | StreamType::HttpResponse => {
            if let Some(stream) = guest.state().stream() {
                stream.reset = true;
            }
            Ok(())
        }
        // A request has no TCP connection of its own to close.
        StreamType::Downstream | StreamType::Upstream => Ok(()),
    }
}

/// This host makes no HTTP callouts yet.
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
    _timeout: u32,
    _id_at: u32,
) -> Answer {
    guest.read_text(cluster, cluster_length)?;
    guest.read_headers(headers, headers_length)?;
    guest.read(body, body_length)?;
    guest.read_headers(trailers, trailers_length)?;
    Err(Status::Unimplemented.into())
}
