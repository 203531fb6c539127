//! What another plugin may have written into the shared data, and what the proxy
//! hands over: records of the cache, and header maps.
#![no_main]

use kya_filter::fuzzing::{cache_records, header_map};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for (kind, written) in cache_records(bytes).into_iter().enumerate() {
        let Some(written) = written else { continue };
        assert_eq!(written.len(), bytes.len(), "a record has one length");
        assert_eq!(cache_records(&written)[kind].as_ref(), Some(&written));
    }
    if let Some(pairs) = header_map(bytes) {
        let texts: usize = pairs.iter().map(|(name, value)| name.len() + value.len() + 10).sum();
        assert!(4 + texts <= bytes.len(), "there is more than was handed over");
    }
});
