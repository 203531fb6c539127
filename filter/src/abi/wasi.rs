//! What proxies provide of WASI next to the ABI.

use super::imports::check;
use crate::host::Refused;

const MONOTONIC: u32 = 1;

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(buffer: *mut u8, size: usize) -> u32;
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
}

pub(super) fn random(bytes: &mut [u8]) -> Result<(), Refused> {
    // SAFETY: pointer and length are those of one live slice.
    check(unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) })
}

/// By hand, since `std::time::Instant` panics where a proxy has no such clock.
pub(super) fn monotonic_nanos() -> Option<u64> {
    let mut time = 0;
    // SAFETY: `time` is valid for the call.
    let status = unsafe { clock_time_get(MONOTONIC, 1, &mut time) };
    (status == 0 && time != 0).then_some(time)
}

/// `var` would be an error for a value that is not UTF-8, and so is this.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok()
}
