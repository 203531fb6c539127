//! Properties, which are of the process, of the plugin or of a request.

use super::env_calls;
use super::guest::{Answer, Guest};
use crate::abi::Status;
use crate::profile::Profile;

env_calls! {
    "proxy_get_property" => get_property,
        (path: u32, path_length: u32, data_at: u32, length_at: u32);
    "proxy_set_property" => set_property,
        (path: u32, path_length: u32, value: u32, value_length: u32);
}

fn get_property(
    guest: &mut Guest<'_>,
    path: u32,
    path_length: u32,
    data_at: u32,
    length_at: u32,
) -> Answer {
    let path = guest.read(path, path_length)?;
    let envoy = guest.state().settings.profile == Profile::Envoy;
    let of_request = guest.state().stream().and_then(|it| {
        let shown = it.attribute(&path).filter(|_| envoy);
        it.properties.get(&path).cloned().or(shown)
    });
    let value = of_request.or_else(|| guest.state().settings.properties.get(&path).cloned());
    guest.give(&value.ok_or(Status::NotFound)?, data_at, length_at)
}

/// Only a request has properties that can be set.
fn set_property(
    guest: &mut Guest<'_>,
    path: u32,
    path_length: u32,
    value: u32,
    value_length: u32,
) -> Answer {
    let path = guest.read(path, path_length)?;
    let value = guest.read(value, value_length)?;
    let stream = guest.state().stream().ok_or(Status::NotFound)?;
    stream.properties.insert(path, value);
    Ok(())
}
