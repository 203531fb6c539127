//! What a message came over, and what that proves.

use kya_core::{Monotonic, Nonce};

/// A stream or a pull.
pub trait Channel {
    /// Whether the nonce answers a question that was asked over it, and when that
    /// was. A nonce is good for one answer.
    fn answers(&mut self, nonce: Nonce) -> Option<Monotonic>;
    /// A nonce came back: what follows may be believed.
    fn prove(&mut self);
    /// Whether one has.
    fn is_proven(&self) -> bool;
    /// Whether it may carry again what came over another one.
    fn repeats(&self) -> bool;
}
