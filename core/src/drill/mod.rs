//! Drills: what the probes of a canary say, and evidence of it that needs no server.
//!
//! Whoever runs a drill and whoever checks its report find the figures by the same code.

pub mod evidence;
pub mod in_flight;
pub mod outcome;
pub mod raw;
pub mod samples;
pub mod summary;
