//! Whoever owns the network and no key: it holds back, repeats, mixes and invents.
//! It cannot keep a stopped agent going for longer than the state may be old, let
//! a token pass that nobody issued, or make a VM forget a revocation.
#![no_main]

use kya_fuzz::All;
use kya_fuzz::world::{Event, World};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|events: All<Event>| {
    let mut world = World::new(true);
    for event in events.0.into_iter().take(64) {
        world.take(event);
        world.probe();
    }
});
