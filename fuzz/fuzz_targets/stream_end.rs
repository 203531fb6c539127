//! The end of a stream, as whoever is at its other end describes it.
#![no_main]

use kya_filter::host::StreamEnd;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u32, &[u8])| {
    let (status, encoded) = input;
    let end = StreamEnd::new(status, encoded);
    assert_eq!(end.status, status);
    assert!(end.message.chars().count() <= 256);
    let line = end.to_string();
    assert!(!line.contains(char::is_control), "it does not fit on a line of a log");
    // Decoding grows nothing but what is not UTF-8: three bytes for one.
    assert!(end.message.len() <= 3 * encoded.len());
});
