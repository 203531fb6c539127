use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};

/// An Envoy that the project is tested with: the newest patch of its minor that
/// is packaged with V8, which 1.38.3 is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EnvoyVersion {
    /// The newest, which everything uses that does not name another.
    #[default]
    V1_40,
    /// In between.
    V1_38,
    /// The oldest that is supported.
    V1_36,
}

impl EnvoyVersion {
    /// Every one, the newest first.
    pub const ALL: [Self; 3] = [Self::V1_40, Self::V1_38, Self::V1_36];

    /// The whole number, as `envoy --version` says it.
    pub fn number(self) -> &'static str {
        match self {
            Self::V1_40 => "1.40.0",
            Self::V1_38 => "1.38.2",
            Self::V1_36 => "1.36.4",
        }
    }
}

impl fmt::Display for EnvoyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

impl FromStr for EnvoyVersion {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|version| version.number() == text) {
            Some(version) => Ok(version),
            None => bail!(
                "Envoy {text} is not one of those tested with: {}",
                Self::ALL.map(Self::number).join(", ")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_it_is_written() {
        for version in EnvoyVersion::ALL {
            assert_eq!(version.to_string().parse::<EnvoyVersion>().unwrap(), version);
        }
        let said = "1.2".parse::<EnvoyVersion>().unwrap_err().to_string();
        assert!(said.contains("1.2 is not") && said.contains("1.36.4"), "{said}");
    }
}
