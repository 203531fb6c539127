//! gRPC streams and calls.

use super::env_calls;
use super::guest::{Answer, Guest, Stop};
use crate::abi::Status;
use crate::grpc::{GrpcStream, StreamFailure, StreamKey};
use crate::vm::{AfterCall, grpc_stream_id};

env_calls! {
    "proxy_grpc_stream" => open,
        (cluster: u32, cluster_length: u32, service: u32, service_length: u32, method: u32,
         method_length: u32, metadata: u32, metadata_length: u32, id_at: u32);
    "proxy_grpc_send" => send, (id: u32, message: u32, length: u32, end: u32);
    "proxy_grpc_close" => close, (id: u32);
    "proxy_grpc_cancel" => cancel, (id: u32);
    "proxy_grpc_call" => call,
        (cluster: u32, cluster_length: u32, service: u32, service_length: u32, method: u32,
         method_length: u32, metadata: u32, metadata_length: u32, message: u32, message_length: u32,
         timeout: u32, id_at: u32);
}

#[expect(clippy::too_many_arguments, reason = "the ABI has them")]
fn open(
    guest: &mut Guest<'_>,
    cluster: u32,
    cluster_length: u32,
    service: u32,
    service_length: u32,
    method: u32,
    method_length: u32,
    metadata: u32,
    metadata_length: u32,
    id_at: u32,
) -> Answer {
    let cluster = guest.read_text(cluster, cluster_length)?;
    let service = guest.read_text(service, service_length)?;
    let method = guest.read_text(method, method_length)?;
    let metadata = guest.read_headers(metadata, metadata_length)?;
    let state = guest.state();
    if !state.settings.has_cluster(&cluster) {
        return Err(Status::ParseFailure.into());
    }
    let id = state.next_grpc_stream_id();
    let failure = state.process.lock().grpc.failure;
    if let Some(failure) = failure {
        return Err(fail(guest, id, failure));
    }
    let key = StreamKey { vm: state.serial, id };
    let vm = state.name;
    let stream = GrpcStream { key, vm, id, cluster, service, method, metadata, half_closed: false };
    state.process.lock().grpc.open(stream);
    guest.write_u32(id_at, id)
}

fn fail(guest: &mut Guest<'_>, id: u32, failure: StreamFailure) -> Stop {
    let context = guest.state().context_id();
    match failure {
        StreamFailure::Status(status) => status.into(),
        StreamFailure::CloseAfterCall { grpc_status } => {
            let action = AfterCall::GrpcClose { context, id, grpc_status };
            guest.state().after_call.push_back(action);
            Status::InternalFailure.into()
        }
        StreamFailure::CloseInsideCall { grpc_status } => {
            guest.state().status = (grpc_status, String::new());
            match guest.call_back("proxy_on_grpc_close", &[context, id, grpc_status]) {
                Ok(_) => Status::InternalFailure.into(),
                Err(stop) => stop,
            }
        }
    }
}

fn send(guest: &mut Guest<'_>, id: u32, message: u32, length: u32, end: u32) -> Answer {
    let message = guest.read(message, length)?;
    let key = key(guest, id)?;
    Ok(guest.state().process.lock().grpc.guest_sends(key, message, end != 0)?)
}

fn close(guest: &mut Guest<'_>, id: u32) -> Answer {
    let key = key(guest, id)?;
    Ok(guest.state().process.lock().grpc.guest_closes(key)?)
}

fn cancel(guest: &mut Guest<'_>, id: u32) -> Answer {
    let key = key(guest, id)?;
    Ok(guest.state().process.lock().grpc.remove(key)?)
}

fn key(guest: &mut Guest<'_>, id: u32) -> Result<StreamKey, Stop> {
    Ok(StreamKey { vm: guest.state().serial, id: grpc_stream_id(id)? })
}

/// This host makes no unary calls yet.
#[expect(clippy::too_many_arguments, reason = "the ABI has them")]
fn call(
    guest: &mut Guest<'_>,
    cluster: u32,
    cluster_length: u32,
    service: u32,
    service_length: u32,
    method: u32,
    method_length: u32,
    metadata: u32,
    metadata_length: u32,
    message: u32,
    message_length: u32,
    _timeout: u32,
    _id_at: u32,
) -> Answer {
    guest.read_text(cluster, cluster_length)?;
    guest.read_text(service, service_length)?;
    guest.read_text(method, method_length)?;
    guest.read_headers(metadata, metadata_length)?;
    guest.read(message, message_length)?;
    Err(Status::Unimplemented.into())
}
