//! Shared data and shared queues.

use super::env_calls;
use super::guest::{Answer, Guest};
use crate::abi::{ROOT_CONTEXT, Status};

env_calls! {
    "proxy_get_shared_data" => get_data,
        (key: u32, key_length: u32, data_at: u32, length_at: u32, cas_at: u32);
    "proxy_set_shared_data" => set_data,
        (key: u32, key_length: u32, value: u32, value_length: u32, cas: u32);
    "proxy_register_shared_queue" => register_queue, (name: u32, name_length: u32, id_at: u32);
    "proxy_resolve_shared_queue" => resolve_queue,
        (vm_id: u32, vm_id_length: u32, name: u32, name_length: u32, id_at: u32);
    "proxy_enqueue_shared_queue" => enqueue, (id: u32, data: u32, length: u32);
    "proxy_dequeue_shared_queue" => dequeue, (id: u32, data_at: u32, length_at: u32);
}

fn get_data(
    guest: &mut Guest<'_>,
    key: u32,
    key_length: u32,
    data_at: u32,
    length_at: u32,
    cas_at: u32,
) -> Answer {
    let key = guest.read(key, key_length)?;
    let found = {
        let process = guest.state().process.lock();
        process.shared_data.get(&key).map(|(value, cas)| (value.to_vec(), cas))
    };
    let (value, cas) = found.ok_or(Status::NotFound)?;
    guest.give(&value, data_at, length_at)?;
    guest.write_u32(cas_at, cas)
}

fn set_data(
    guest: &mut Guest<'_>,
    key: u32,
    key_length: u32,
    value: u32,
    value_length: u32,
    cas: u32,
) -> Answer {
    let key = guest.read(key, key_length)?;
    let value = guest.read(value, value_length)?;
    guest.state().process.lock().shared_data.set(&key, &value, cas)?;
    Ok(())
}

fn register_queue(guest: &mut Guest<'_>, name: u32, name_length: u32, id_at: u32) -> Answer {
    let name = guest.read(name, name_length)?;
    let state = guest.state();
    let vm_id = state.settings.vm_id.as_bytes();
    let id = state.process.lock().queues.register(vm_id, &name, state.serial, ROOT_CONTEXT);
    guest.write_u32(id_at, id)
}

fn resolve_queue(
    guest: &mut Guest<'_>,
    vm_id: u32,
    vm_id_length: u32,
    name: u32,
    name_length: u32,
    id_at: u32,
) -> Answer {
    let vm_id = guest.read(vm_id, vm_id_length)?;
    let name = guest.read(name, name_length)?;
    let id = guest.state().process.lock().queues.resolve(&vm_id, &name)?;
    guest.write_u32(id_at, id)
}

fn enqueue(guest: &mut Guest<'_>, id: u32, data: u32, length: u32) -> Answer {
    let item = guest.read(data, length)?;
    guest.state().process.lock().queues.enqueue(id, item)?;
    Ok(())
}

fn dequeue(guest: &mut Guest<'_>, id: u32, data_at: u32, length_at: u32) -> Answer {
    let item = guest.state().process.lock().queues.dequeue(id)?;
    guest.give(&item, data_at, length_at)
}
