//! HTTP streams: a request and its response on their way through the filter.

mod direction;
mod half;
mod state;
mod stream;

pub(crate) use direction::Direction;
pub(crate) use half::{Backlog, CONTINUE, Half, Hold};
pub use state::{LocalResponse, Message, Outcome, RequestState};
pub(crate) use stream::{End, HttpStream, Phase};
