//! What `cargo xtask verifier` has built.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

pub mod browser;

use std::path::{Path, PathBuf};

/// A file of it.
#[track_caller]
pub fn built(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("verifier").join(name);
    assert!(path.is_file(), "there is no {}: run `cargo xtask verifier`", path.display());
    path
}

/// The page.
#[track_caller]
pub fn page() -> PathBuf {
    built("kya-audit-verify.html")
}
