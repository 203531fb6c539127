//! Freshness: whatever is delivered, late, twice or never, the state is never
//! taken for younger than it is.
#![no_main]

use arbitrary::Arbitrary;
use kya_core::{Anchor, Freshness, Monotonic, UnixMillis};
use kya_fuzz::All;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    /// What the clocks show when all begins.
    proxy: u64,
    control_plane: u64,
    events: All<Event>,
}

#[derive(Arbitrary, Debug)]
enum Event {
    Wait(u16),
    /// The proxy asks.
    Ask,
    /// The control plane signs an answer to one of the questions.
    Answer(u8),
    /// It signs something that answers nothing.
    Sign,
    /// One of the messages arrives: its nonce counts, its news count, or both.
    Deliver {
        which: u8,
        anchors: bool,
        heard: bool,
    },
}

#[derive(Clone, Copy)]
struct Message {
    /// When it was signed, by nobody's clock.
    at: u64,
    asked: Option<u64>,
}

fuzz_target!(|input: Input| {
    // Clocks that go as fast as each other, and do not run over.
    let (proxy, control_plane) = (input.proxy >> 1, input.control_plane >> 1);
    let (mut time, mut asked, mut signed) = (0u64, Vec::new(), Vec::new());
    let mut freshness = Freshness::default();
    let (mut newest, mut ever) = (0, false);
    for event in input.events.0.into_iter().take(256) {
        match event {
            Event::Wait(millis) => time += u64::from(millis),
            Event::Ask => asked.push(time),
            Event::Answer(which) => {
                if let Some(question) = asked.get(usize::from(which) % asked.len().max(1)) {
                    signed.push(Message { at: time, asked: Some(*question) });
                }
            }
            Event::Sign => signed.push(Message { at: time, asked: None }),
            Event::Deliver { which, anchors, heard } => {
                let Some(message) = signed.get(usize::from(which) % signed.len().max(1)).copied()
                else {
                    continue;
                };
                let now = Monotonic(proxy + time);
                let clock = UnixMillis(control_plane + message.at);
                if let Some(asked) = message.asked.filter(|_| anchors) {
                    let asked = Monotonic(proxy + asked);
                    freshness.anchored(Anchor { asked, signed: clock }, now);
                }
                // Nothing is believed before a nonce has come back.
                if heard && freshness.anchor().is_some() {
                    freshness.heard(clock, now);
                    newest = newest.max(message.at);
                    ever = true;
                }
            }
        }
        let now = Monotonic(proxy + time);
        let age = freshness.age(now);
        assert_eq!(age.is_some(), ever);
        if let Some(age) = age {
            assert!(age >= time - newest, "{age} ms, and not {} ms", time - newest);
        }
        if let Some(shown) = freshness.control_plane_time(now) {
            assert!(shown.0 <= control_plane + time, "the control plane's clock is put ahead");
        }
    }
});
