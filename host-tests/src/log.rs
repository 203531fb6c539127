//! What guests wrote.

use crate::abi::LogLevel;
use crate::vm::VmName;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSource {
    /// `proxy_log`.
    Guest(LogLevel),
    /// Standard output of the guest.
    Stdout,
    /// Standard error of the guest, where its panics go.
    Stderr,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Who wrote it.
    pub vm: VmName,
    /// By which way.
    pub source: LogSource,
    /// The text; bytes that are not UTF-8 are replaced.
    pub text: String,
}
