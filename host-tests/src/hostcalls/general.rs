//! Logging, time, timers, configuration, properties and contexts.

use std::time::Duration;

use wasmtime::Linker;

use super::env_call;
use super::guest::{Answer, Guest};
use crate::abi::{BufferType, LogLevel, Status};
use crate::log::{LogLine, LogSource};
use crate::vm::VmState;

pub(super) fn link(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    env_call!(linker, "proxy_log", log, (level: u32, text: u32, length: u32));
    env_call!(linker, "proxy_get_log_level", get_log_level, (level_at: u32));
    env_call!(linker, "proxy_get_current_time_nanoseconds", get_time, (time_at: u32));
    env_call!(linker, "proxy_set_tick_period_milliseconds", set_tick_period, (millis: u32));
    env_call!(linker, "proxy_get_buffer_bytes", get_buffer,
        (kind: u32, start: u32, most: u32, data_at: u32, length_at: u32));
    env_call!(linker, "proxy_set_buffer_bytes", set_buffer,
        (kind: u32, start: u32, length: u32, data: u32, data_length: u32));
    env_call!(linker, "proxy_get_property", get_property,
        (path: u32, path_length: u32, data_at: u32, length_at: u32));
    env_call!(linker, "proxy_set_property", set_property,
        (path: u32, path_length: u32, value: u32, value_length: u32));
    env_call!(linker, "proxy_set_effective_context", set_effective_context, (context: u32));
    env_call!(linker, "proxy_get_status", get_status, (code_at: u32, data_at: u32, length_at: u32));
    env_call!(linker, "proxy_done", done, ());
    env_call!(linker, "proxy_call_foreign_function", call_foreign_function,
        (name: u32, name_length: u32, arguments: u32, arguments_length: u32, data_at: u32,
         length_at: u32));
    Ok(())
}

fn log(guest: &mut Guest<'_>, level: u32, text: u32, length: u32) -> Answer {
    let level = LogLevel::from_number(level).ok_or(Status::BadArgument)?;
    let text = String::from_utf8_lossy(&guest.read(text, length)?).into_owned();
    let state = guest.state();
    let line = LogLine { vm: state.name, source: LogSource::Guest(level), text };
    state.process.borrow_mut().log.push(line);
    Ok(())
}

fn get_log_level(guest: &mut Guest<'_>, level_at: u32) -> Answer {
    guest.write_u32(level_at, LogLevel::Trace as u32)
}

fn get_time(guest: &mut Guest<'_>, time_at: u32) -> Answer {
    let now = guest.state().process.borrow().clock.wall();
    guest.write_u64(time_at, now)
}

fn set_tick_period(guest: &mut Guest<'_>, millis: u32) -> Answer {
    guest.state().set_tick_period(Duration::from_millis(millis.into()));
    Ok(())
}

fn get_buffer(
    guest: &mut Guest<'_>,
    kind: u32,
    start: u32,
    most: u32,
    data_at: u32,
    length_at: u32,
) -> Answer {
    let state = guest.state();
    let buffer = match BufferType::from_number(kind).ok_or(Status::BadArgument)? {
        BufferType::VmConfiguration => Some(state.settings.vm_configuration.clone()),
        BufferType::PluginConfiguration => {
            state.configuring.then(|| state.settings.plugin_configuration.clone())
        }
        BufferType::GrpcReceiveBuffer => state.grpc_message.clone(),
        _ => None,
    };
    let buffer = buffer.ok_or(Status::NotFound)?;
    start.checked_add(most).ok_or(Status::BadArgument)?;
    let from = usize::try_from(start).map_err(|_| Status::BadArgument)?;
    let rest = buffer.get(from..).ok_or(Status::BadArgument)?;
    let part = rest.get(..usize::try_from(most).unwrap_or(usize::MAX)).unwrap_or(rest);
    // As in Envoy, nothing is written where there is nothing to hand over.
    if part.is_empty() { Ok(()) } else { guest.give(part, data_at, length_at) }
}

/// No buffer of this host can be changed yet.
fn set_buffer(
    guest: &mut Guest<'_>,
    kind: u32,
    _start: u32,
    _length: u32,
    data: u32,
    data_length: u32,
) -> Answer {
    guest.read(data, data_length)?;
    BufferType::from_number(kind).ok_or(Status::BadArgument)?;
    Err(Status::Unimplemented.into())
}

fn get_property(
    guest: &mut Guest<'_>,
    path: u32,
    path_length: u32,
    data_at: u32,
    length_at: u32,
) -> Answer {
    let path = guest.read(path, path_length)?;
    let of_request = guest.state().stream().and_then(|it| it.properties.get(&path).cloned());
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

fn set_effective_context(guest: &mut Guest<'_>, context: u32) -> Answer {
    let state = guest.state();
    if !state.contexts.contains_key(&context) {
        return Err(Status::BadArgument.into());
    }
    state.effective = Some(context);
    Ok(())
}

fn get_status(guest: &mut Guest<'_>, code_at: u32, data_at: u32, length_at: u32) -> Answer {
    let (code, message) = guest.state().grpc_status.clone();
    guest.write_u32(code_at, code)?;
    guest.give(message.as_bytes(), data_at, length_at)
}

/// Only a context whose `proxy_on_done` asked for time can be done later, and
/// this host grants none.
fn done(_guest: &mut Guest<'_>) -> Answer {
    Err(Status::NotFound.into())
}

/// There are no foreign functions.
fn call_foreign_function(
    guest: &mut Guest<'_>,
    name: u32,
    name_length: u32,
    arguments: u32,
    arguments_length: u32,
    _data_at: u32,
    _length_at: u32,
) -> Answer {
    guest.read(name, name_length)?;
    guest.read(arguments, arguments_length)?;
    Err(Status::NotFound.into())
}
