//! Why a configuration is refused.

use std::fmt;

use thiserror::Error;

/// Why a configuration is refused. The message names the field by its path, such
/// as `token_sources[1].header`, and what would be right. It never shows a
/// credential.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ConfigError {
    /// Path of the field; empty for the document as a whole.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

impl ConfigError {
    pub(super) fn at(field: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self { field: field.into(), problem: problem.to_string() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the plugin configuration is not valid: ")?;
        if !self.field.is_empty() {
            write!(f, "`{}` ", self.field)?;
        }
        f.write_str(&self.problem)
    }
}
