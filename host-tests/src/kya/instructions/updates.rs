//! News from the control plane.

use kya_core::wire::ControlMessage;
use prost::Message as _;

use super::{Scenario, median};
use crate::kya::{ControlPlane, Sidecar};
use crate::vm::{Spent, VmName};

pub(super) static SCENARIOS: [Scenario; 3] = [
    Scenario {
        name: "delta_of_one_leader",
        what: "a delta of one change, verified and stored by the leader",
        measure: || delta_of_one(VmName::Main),
    },
    Scenario {
        name: "delta_of_one_worker",
        what: "the same, verified and applied by a worker, which reports it",
        measure: || delta_of_one(VmName::Worker(0)),
    },
    Scenario {
        name: "snapshot_chunk",
        what: "a chunk of a snapshot, verified and stored by the leader",
        measure: snapshot_chunk,
    },
];

/// Deltas before what is measured.
const WARM_UP: u64 = 4;
/// So many tokens that there are more chunks than samples.
const TOKENS: usize = 4_000;

/// An agent without requests in flight is suspended.
fn delta_of_one(vm: VmName) -> Spent {
    let mut control = ControlPlane::default();
    let mut sidecar = Sidecar::acting(&mut control, 1);
    let mut suspend = |_| {
        control.suspend(2);
        let before = sidecar.proxy.spent(vm);
        sidecar.push(&mut control);
        let spent = sidecar.proxy.spent(vm).since(&before);
        assert_eq!(sidecar.proxy.metric("kya.revision"), control.revision(), "it is there");
        sidecar.serve(&mut control);
        control.restore(2);
        sidecar.push(&mut control);
        sidecar.serve(&mut control);
        spent
    };
    (0..WARM_UP).for_each(|n| drop(suspend(n)));
    median(suspend)
}

/// A proxy that has nothing yet gets a snapshot, a chunk in each message.
fn snapshot_chunk() -> Spent {
    let mut control = ControlPlane::default();
    control.issue_tokens(1, TOKENS);
    control.chunks_a_message = 1;
    let mut sidecar = Sidecar::start(&control, 1);
    sidecar.connect();
    // The hello, which a manifest answers.
    let mut chunks = Vec::new();
    while chunks.is_empty() {
        let said = sidecar.take_said();
        assert!(!said.is_empty(), "it asks for chunks");
        for answer in said.iter().flat_map(|message| control.answer(message)) {
            match is_chunks(&answer) {
                true => chunks.push(answer),
                false => sidecar.deliver_bytes(&answer.encode_to_vec()),
            }
        }
    }
    let mut chunks = chunks.into_iter();
    median(|_| {
        let before = sidecar.proxy.spent(VmName::Main);
        let chunk = chunks.next().expect("there are more chunks than samples");
        sidecar.deliver_bytes(&chunk.encode_to_vec());
        sidecar.proxy.spent(VmName::Main).since(&before)
    })
}

fn is_chunks(message: &ControlMessage) -> bool {
    use kya_core::wire::control_message::Message;
    matches!(message.message, Some(Message::Chunks(_)))
}
