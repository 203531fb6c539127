//! Header maps.

use super::env_calls;
use super::guest::{Answer, Guest, Stop};
use crate::abi::{MapType, Status};
use crate::headers::HeaderMap;

env_calls! {
    "proxy_get_header_map_pairs" => get_pairs, (map: u32, data_at: u32, length_at: u32);
    "proxy_set_header_map_pairs" => set_pairs, (map: u32, data: u32, length: u32);
    "proxy_get_header_map_size" => get_size, (map: u32, size_at: u32);
    "proxy_get_header_map_value" => get_value,
        (map: u32, name: u32, name_length: u32, data_at: u32, length_at: u32);
    "proxy_add_header_map_value" => add_value,
        (map: u32, name: u32, name_length: u32, value: u32, value_length: u32);
    "proxy_replace_header_map_value" => replace_value,
        (map: u32, name: u32, name_length: u32, value: u32, value_length: u32);
    "proxy_remove_header_map_value" => remove_value, (map: u32, name: u32, name_length: u32);
}

/// The map, if the phase lets the guest read it.
fn readable<'a>(guest: &'a mut Guest<'_>, map: u32) -> Result<Option<&'a HeaderMap>, Stop> {
    let map = MapType::from_number(map).ok_or(Status::BadArgument)?;
    let state = guest.state();
    if map == MapType::HttpCallResponseHeaders {
        return Ok(state.call_answer.as_ref().map(|answer| &answer.headers));
    }
    let Some(stream) = state.stream() else { return Ok(None) };
    let (request, response, logging) = (&stream.request, &stream.response, stream.logging);
    let (open, headers) = match map {
        MapType::HttpRequestHeaders => (request.headers_open || logging, &request.headers),
        MapType::HttpRequestTrailers => (request.trailers_open, &request.trailers),
        MapType::HttpResponseHeaders => (response.headers_open || logging, &response.headers),
        MapType::HttpResponseTrailers => (response.trailers_open || logging, &response.trailers),
        // Answers to callouts have no trailers here, and gRPC no metadata.
        _ => return Ok(None),
    };
    Ok(headers.as_ref().filter(|_| open))
}

/// The map, if the phase lets the guest change it.
fn writable<'a>(guest: &'a mut Guest<'_>, map: u32) -> Result<&'a mut HeaderMap, Stop> {
    let map = MapType::from_number(map).ok_or(Status::BadArgument)?;
    let stream = guest.state().stream().ok_or(Status::BadArgument)?;
    let (request, response) = (&mut stream.request, &mut stream.response);
    let (open, headers) = match map {
        MapType::HttpRequestHeaders => (request.headers_open, &mut request.headers),
        MapType::HttpRequestTrailers => (request.trailers_open, &mut request.trailers),
        MapType::HttpResponseHeaders => (response.headers_open, &mut response.headers),
        MapType::HttpResponseTrailers => (response.trailers_open, &mut response.trailers),
        _ => return Err(Status::BadArgument.into()),
    };
    Ok(headers.as_mut().filter(|_| open).ok_or(Status::BadArgument)?)
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
    // Envoy asks for a map that can be changed, so there is no size in the log.
    let size = writable(guest, map)?.byte_size();
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
    let headers = writable(guest, map)?;
    let removed: Vec<_> = headers.get_all(&name).map(<[u8]>::to_vec).collect();
    headers.remove(&name);
    if map == MapType::HttpRequestHeaders as u32
        && let Some(stream) = guest.state().stream()
    {
        stream.removed.extend(removed.into_iter().map(|value| (name.clone(), value)));
    }
    Ok(())
}
