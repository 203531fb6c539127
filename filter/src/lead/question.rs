//! Questions: a nonce that only a signed answer brings back.

use kya_core::{Monotonic, Nonce};

use crate::clock;
use crate::host::{Host, Refused};
use crate::plugin::Plugin;

/// An open question.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    nonce: Nonce,
    asked: Monotonic,
}

impl Question {
    /// A question that nobody has asked before.
    pub fn new<H: Host>(plugin: &Plugin<H>) -> Result<Self, Refused> {
        let mut bytes = [0; 32];
        plugin.host.random(&mut bytes)?;
        Ok(Self { nonce: Nonce(bytes), asked: clock::monotonic(&plugin.host) })
    }

    /// The nonce, as it travels.
    pub fn nonce(&self) -> Vec<u8> {
        self.nonce.0.to_vec()
    }

    /// When it was asked.
    pub fn asked(&self) -> Monotonic {
        self.asked
    }
}

/// Takes the question that this nonce answers: it is good for one answer.
pub fn answer(open: &mut Option<Question>, nonce: Nonce) -> Option<Monotonic> {
    open.take_if(|question| question.nonce == nonce).map(|question| question.asked)
}
