//! Logging, time, timers and contexts.

use std::time::Duration;

use super::env_calls;
use super::guest::{Answer, Guest, Stop};
use crate::abi::{LogLevel, ROOT_CONTEXT, Status};
use crate::log::{LogLine, LogSource};
use crate::profile::Profile;
use crate::vm::Retirement;

env_calls! {
    "proxy_log" => log, (level: u32, text: u32, length: u32);
    "proxy_get_log_level" => get_log_level, (level_at: u32);
    "proxy_get_current_time_nanoseconds" => get_time, (time_at: u32);
    "proxy_set_tick_period_milliseconds" => set_tick_period, (millis: u32);
    "proxy_set_effective_context" => set_effective_context, (context: u32);
    "proxy_get_status" => get_status, (code_at: u32, data_at: u32, length_at: u32);
    "proxy_done" => done, ();
    "proxy_call_foreign_function" => call_foreign_function,
        (name: u32, name_length: u32, arguments: u32, arguments_length: u32, data_at: u32,
         length_at: u32);
}

fn log(guest: &mut Guest<'_>, level: u32, text: u32, length: u32) -> Answer {
    let level = LogLevel::from_number(level).ok_or(Status::BadArgument)?;
    let text = String::from_utf8_lossy(&guest.read(text, length)?).into_owned();
    let state = guest.state();
    let line = LogLine { vm: state.name, source: LogSource::Guest(level), text };
    state.process.lock().log.push(line);
    Ok(())
}

fn get_log_level(guest: &mut Guest<'_>, level_at: u32) -> Answer {
    guest.write_u32(level_at, LogLevel::Trace as u32)
}

fn get_time(guest: &mut Guest<'_>, time_at: u32) -> Answer {
    let now = guest.state().process.lock().clock.wall();
    guest.write_u64(time_at, now)
}

fn set_tick_period(guest: &mut Guest<'_>, millis: u32) -> Answer {
    let state = guest.state();
    if state.settings.profile == Profile::Nginx && state.tick.is_some() {
        return Err(Stop::trap("a second tick period"));
    }
    state.set_tick_period(Duration::from_millis(millis.into()));
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
    let (code, message) = guest.state().status.clone();
    guest.write_u32(code_at, code)?;
    guest.give(message.as_bytes(), data_at, length_at)
}

/// Only a context whose `proxy_on_done` asked for time can be done later: here that
/// of the plugin.
fn done(guest: &mut Guest<'_>) -> Answer {
    let state = guest.state();
    if state.retirement != Retirement::Asked || state.context_id() != ROOT_CONTEXT {
        return Err(Status::NotFound.into());
    }
    state.retirement = Retirement::Done;
    Ok(())
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
