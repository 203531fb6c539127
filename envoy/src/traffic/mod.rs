//! Agents: requests that reach every worker, loads that run beside a kill, and
//! connections whose worker is known.

mod caller;
mod connection;
mod everywhere;
mod lane;
mod load;
mod reach;
mod record;
mod subject;
mod unfinished;

pub use caller::{Answer, Caller};
pub use everywhere::{charged_everywhere, denied_everywhere, post_everywhere};
pub use lane::{Lane, pin_every_worker};
pub use load::{Load, Outcome, Sample};
pub use reach::{Reached, reach_every_worker};
pub use record::{Record, tally};
pub use subject::{Subject, pin_all};
pub use unfinished::Unfinished;
