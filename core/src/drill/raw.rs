//! The samples of a drill as they are kept, with every probe; and what of them is put on
//! record.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::samples::{Measured, Micros, Probe};
use super::summary::Sample;
use crate::audit::{Canonical, CanonicalError, hex};

/// A sample with its probes. Times are microseconds since the stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSample {
    /// The stop, if it has an id.
    pub kill_id: Option<String>,
    /// When every connected worker had acknowledged the stop; absent if they had not all.
    pub acknowledged_us: Option<Micros>,
    /// What each party did, in the order of the parties.
    pub parties: Vec<RawParty>,
}

/// What one party did in one sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawParty {
    /// What was found in the probes.
    pub figures: Measured,
    /// `[due, sent, answered, outcome, ended, ending]`; absent if there was no room.
    pub probes: Option<Vec<Probe>>,
}

impl RawSample {
    /// SHA-256 of its canonical JSON (RFC 8785), in hexadecimal: what the record of a
    /// drill's end says of it.
    ///
    /// # Errors
    /// When a number in it is too large to be written.
    pub fn sha256(&self) -> Result<String, CanonicalError> {
        let digest: [u8; 32] = Sha256::digest(Canonical::text_of(self)?).into();
        Ok(hex::encode(&digest))
    }

    /// The same without its probes.
    pub fn figures(&self) -> Sample {
        Sample {
            kill_id: self.kill_id.clone(),
            acknowledged_us: self.acknowledged_us,
            parties: self.parties.iter().map(|party| party.figures.clone()).collect(),
        }
    }
}
