//! Metrics.

use wasmtime::Linker;

use super::env_call;
use super::guest::{Answer, Guest};
use crate::abi::{MetricType, Status};
use crate::vm::VmState;

pub(super) fn link(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    env_call!(linker, "proxy_define_metric", define,
        (kind: u32, name: u32, length: u32, id_at: u32));
    env_call!(linker, "proxy_increment_metric", increment, (id: u32, offset: i64));
    env_call!(linker, "proxy_record_metric", record, (id: u32, value: u64));
    env_call!(linker, "proxy_get_metric", get, (id: u32, value_at: u32));
    Ok(())
}

fn define(guest: &mut Guest<'_>, kind: u32, name: u32, length: u32, id_at: u32) -> Answer {
    let kind = MetricType::from_number(kind).ok_or(Status::BadArgument)?;
    let name = guest.read_text(name, length)?;
    let state = guest.state();
    state.process.borrow_mut().metrics.define((kind, name.clone()));
    let id = state.metrics.define(kind, name);
    guest.write_u32(id_at, id)
}

fn increment(guest: &mut Guest<'_>, id: u32, offset: i64) -> Answer {
    let state = guest.state();
    let stat = state.metrics.find(id)?;
    Ok(state.process.borrow_mut().metrics.increment(stat, offset)?)
}

fn record(guest: &mut Guest<'_>, id: u32, value: u64) -> Answer {
    let state = guest.state();
    let stat = state.metrics.find(id)?;
    Ok(state.process.borrow_mut().metrics.record(stat, value)?)
}

fn get(guest: &mut Guest<'_>, id: u32, value_at: u32) -> Answer {
    let state = guest.state();
    let stat = state.metrics.find(id)?;
    let value = state.process.borrow().metrics.read(stat)?;
    guest.write_u64(value_at, value)
}
