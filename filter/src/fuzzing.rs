//! The doors through which the fuzz targets in `fuzz/` reach what is private.

use crate::cache::records::{Boot, Fresh, Head, Lease, Slot};
use crate::host::HeaderMap;

#[path = "abi/maps.rs"]
#[allow(dead_code, reason = "only what reads is fuzzed")]
mod maps;

/// What each kind of record of the cache makes of these bytes, written again.
pub fn cache_records(bytes: &[u8]) -> [Option<Vec<u8>>; 5] {
    [
        Boot::decode(bytes).map(|it| it.encode()),
        Head::decode(bytes).map(|it| it.encode()),
        Fresh::decode(bytes).map(|it| it.encode()),
        Lease::decode(bytes).map(|it| it.encode()),
        Slot::decode(bytes).map(|it| it.encode()),
    ]
}

/// A header map of the ABI.
pub fn header_map(bytes: &[u8]) -> Option<HeaderMap> {
    maps::read(bytes.to_vec())
}
