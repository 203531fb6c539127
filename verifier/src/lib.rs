//! The verification of kya's audit trail for browsers and Node, by wasm-bindgen.
//!
//! The rules are those of `kya audit verify`, by the same code: `kya_core::audit::verify`.
//! Nothing is fetched and nothing is sent; a file is read in pieces, so that one of any size
//! can be verified.

use kya_core::audit::verify::{Options, Verifier};
use kya_core::audit::{SignedCheckpoint, VerifierKey};
use wasm_bindgen::prelude::wasm_bindgen;

/// One verification: made, given the file piece by piece, and asked for its report.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Verification(Option<Verifier>);

#[wasm_bindgen]
impl Verification {
    /// By the pinned keys, one a line, and the checkpoints that were kept, one after the
    /// other. `whole_since` is the record from which on none may be hidden.
    ///
    /// # Errors
    /// A text in words: which of them is none.
    #[wasm_bindgen(constructor)]
    pub fn new(
        keys: &str,
        checkpoints: Vec<String>,
        whole_since: Option<u64>,
    ) -> Result<Verification, String> {
        let lines = keys.lines().map(str::trim).filter(|it| !it.is_empty());
        let keys: Vec<VerifierKey> = lines
            .map(|it| it.parse().map_err(|why| format!("the key: {why}")))
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err("pin a key: without one, anybody could have signed the file".to_owned());
        }
        let checkpoint = |it: &String| {
            // A text field has line breaks of its own kind, and may lose the last.
            let note = it.replace("\r\n", "\n").trim().to_owned() + "\n";
            SignedCheckpoint::parse(&note).map_err(|why| format!("the checkpoint: {why}"))
        };
        let kept = checkpoints.iter().filter(|it| !it.trim().is_empty());
        let earlier = kept.map(checkpoint).collect::<Result<_, _>>()?;
        Ok(Self(Some(Verifier::new(Options { keys, earlier, whole_since }))))
    }

    /// Reads the next bytes of the file.
    pub fn write(&mut self, bytes: &[u8]) {
        if let Some(verifier) = &mut self.0 {
            verifier.write(bytes);
        }
    }

    /// The report, in JSON: that of `kya -o json audit verify`. There is none after the first.
    pub fn finish(&mut self) -> Option<String> {
        let report = self.0.take()?.finish();
        serde_json::to_string(&report).ok()
    }
}
