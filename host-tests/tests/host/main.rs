//! The host itself, with guests of a few lines of WebAssembly text.

mod callouts;
mod environment;
mod faults;
mod guests;
mod injection;
mod lifecycle;
mod lives;
mod memory;
mod profiles;
mod requests;
mod schedules;
mod sharing;
mod spent;
mod streams;
mod threads;
