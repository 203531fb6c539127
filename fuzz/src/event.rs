//! What may happen to a proxy and to the network around it.

use arbitrary::Arbitrary;

/// What may happen, besides what a target adds.
#[derive(Arbitrary, Debug)]
pub enum Event {
    /// Time passes, and every VM is ticked.
    Tick(u8),
    /// Time passes for those who do not notice.
    Stall(u16),
    /// Everything that is under way arrives, in order.
    Flow,
    /// Something that was carried once arrives on a stream.
    Replay {
        stream: u8,
        message: u16,
    },
    /// Something that nobody has said arrives on a stream.
    Say {
        stream: u8,
        bytes: Vec<u8>,
    },
    /// A call is answered by what was carried once.
    Answer {
        call: u8,
        status: u16,
        messages: Vec<u16>,
    },
    /// Or by anything.
    Invent {
        call: u8,
        status: u16,
        bytes: Vec<u8>,
    },
    Fail {
        call: u8,
    },
    Close {
        stream: u8,
        status: u8,
        why: Vec<u8>,
    },
    /// The control plane decides about agent 1 or 2.
    Commit {
        agent: bool,
        status: u8,
    },
    Wake(u8),
    /// Agent 1 or 2 asks, or somebody whose token nobody issued.
    Ask {
        vm: u8,
        token: u8,
    },
    Leave {
        vm: u8,
        nth: u8,
    },
    /// A VM crashes, and another one takes its place.
    Replace(u8),
}
