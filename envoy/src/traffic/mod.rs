//! Agents: requests that reach every worker, loads that run beside a kill, and
//! connections whose worker is known.

mod caller;
mod connection;
mod lane;
mod load;
mod reach;
mod record;
mod subject;

pub use caller::{Answer, Caller};
pub use lane::{Lane, pin_every_worker};
pub use load::{Load, Outcome, Sample};
pub use reach::{Reached, reach_every_worker};
pub use record::{Record, tally};
pub use subject::{Subject, pin_all};
