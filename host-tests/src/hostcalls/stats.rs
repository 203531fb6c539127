//! Metrics.

use super::env_calls;
use super::guest::{Answer, Guest};
use crate::abi::{MetricType, Status};

env_calls! {
    "proxy_define_metric" => define, (kind: u32, name: u32, length: u32, id_at: u32);
    "proxy_increment_metric" => increment, (id: u32, offset: i64);
    "proxy_record_metric" => record, (id: u32, value: u64);
    "proxy_get_metric" => get, (id: u32, value_at: u32);
}

fn define(guest: &mut Guest<'_>, kind: u32, name: u32, length: u32, id_at: u32) -> Answer {
    let kind = MetricType::from_number(kind).ok_or(Status::BadArgument)?;
    let name = guest.read_text(name, length)?;
    let state = guest.state();
    state.process.lock().metrics.define((kind, name.clone()));
    let id = state.metrics.define(kind, name);
    guest.write_u32(id_at, id)
}

fn increment(guest: &mut Guest<'_>, id: u32, offset: i64) -> Answer {
    let state = guest.state();
    let stat = state.metrics.find(id)?;
    Ok(state.process.lock().metrics.increment(stat, offset)?)
}

fn record(guest: &mut Guest<'_>, id: u32, value: u64) -> Answer {
    let state = guest.state();
    let stat = state.metrics.find(id)?;
    Ok(state.process.lock().metrics.record(stat, value)?)
}

fn get(guest: &mut Guest<'_>, id: u32, value_at: u32) -> Answer {
    let state = guest.state();
    let stat = state.metrics.find(id)?;
    let value = state.process.lock().metrics.read(stat)?;
    guest.write_u64(value_at, value)
}
