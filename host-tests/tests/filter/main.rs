//! The compiled filter, in a simulated proxy, against a control plane that the
//! test plays.
//!
//! A VM that traps, or answers a request twice, fails its test when the sidecar is
//! dropped; no test has to ask.

mod audit;
mod capabilities;
mod capability_keys;
mod capability_stops;
mod configuration;
mod decisions;
mod delegation;
mod failures;
mod faults;
mod freshness;
mod identity;
mod in_flight;
mod instructions;
mod interleavings;
mod introspection;
mod leadership;
mod limited_tokens;
mod load;
mod policies;
mod pull;
mod recovery;
mod threads;
mod trust;
mod workers;
