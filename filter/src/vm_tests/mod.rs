//! One proxy's VMs together: the main thread's and the workers'.

use kya_core::wire::{self, Status, change::Change as Wire, proxy_message::Message};
use kya_core::{Position, Revision};

use super::*;
use crate::testing::{Link, World, agent, revision};

mod audit;
mod audit_kills;
mod audit_loss;
mod capabilities;
mod chunks;
mod convergence;
mod flood;
mod freshness;
mod in_flight;
mod introspection;
mod keys;
mod leadership;
mod meddling;
mod opening;
mod pull;

impl<H: Host> Vm<H> {
    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    pub(crate) fn plugin(&self) -> &Plugin<H> {
        &self.plugin
    }

    /// Whether it has a queue.
    pub(crate) fn is_known(&self) -> bool {
        self.identity.is_some()
    }

    pub(crate) fn leads(&self) -> bool {
        self.leader.is_some()
    }
}

fn at(revision: u64) -> Position {
    Position { epoch: 1, revision: Revision(revision) }
}

fn revoked(n: u8) -> [Wire; 1] {
    [agent(n, Status::Revoked)]
}

/// A change that denies nobody.
fn unrelated() -> [Wire; 1] {
    [agent(9, Status::Active)]
}

/// What the leader says on the streams while they are held.
fn held(world: &mut World) -> Vec<Message> {
    world.exchange();
    world.said.drain(..).map(|(_, message)| message).collect()
}

fn resyncs(said: &[Message]) -> usize {
    said.iter().filter(|message| matches!(message, Message::Resync(_))).count()
}

fn reports(said: &[Message]) -> Vec<wire::WorkerState> {
    let report = |message: &Message| match message {
        Message::Workers(report) => report.workers.clone(),
        _ => vec![],
    };
    said.iter().flat_map(report).collect()
}

/// A world whose stream has been opened, with the question that the control
/// plane has not answered yet. Calls find no answer.
fn greeted(workers: usize) -> (World, StreamId, wire::Hello) {
    let mut world = World::new(workers);
    (world.streams, world.calls) = (Link::Held, Link::Held);
    for _ in 0..4 {
        world.tick();
        if let Some((stream, Message::Hello(hello))) = world.said.pop_front() {
            return (world, stream, hello);
        }
    }
    panic!("no stream was opened");
}
