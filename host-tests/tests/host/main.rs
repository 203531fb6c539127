//! The host itself, with guests of a few lines of WebAssembly text.

mod faults;
mod guests;
mod lifecycle;
mod memory;
mod requests;
mod sharing;
mod streams;
