//! Exports of the audit trail: arbitrary bytes in place of one, and one with arbitrary
//! bytes in it. Neither verifies unless it says the same, and pieces of any size make no
//! difference. What is taken for canonical is written again as it was.
#![no_main]

use std::sync::LazyLock;

use kya_core::audit::export::Line;
use kya_core::audit::verify::{Options, Outcome, Report, Verifier};
use kya_core::audit::{Canonical, Note};
use kya_core::testing::audit::{Trail, audit_key};
use libfuzzer_sys::fuzz_target;

static EXPORT: LazyLock<String> = LazyLock::new(|| {
    let mut trail = Trail::of(5);
    trail.change_key(2);
    trail.grow(8);
    trail.export_of(1, 8, &[4], |seq| seq != 3)
});

fn verified(file: &[u8], piece: usize) -> Report {
    let mut verifier = Verifier::new(Options { keys: vec![audit_key(1)], ..Options::default() });
    file.chunks(piece).for_each(|it| verifier.write(it));
    verifier.finish()
}

/// What the lines say, but for the keys in the last one and the filter in the first, which
/// are said to prove nothing.
fn says(file: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(file).ok()?;
    let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    lines
        .map(|line| {
            let mut read = Line::parse(line.strip_suffix('\r').unwrap_or(line)).ok()?;
            match &mut read {
                Line::Sealed(sealed) => sealed.keys = sealed.keys.take().map(|_| Vec::new()),
                Line::Header(header) => header.filter = None,
                Line::Record { .. } | Line::Skipped(_) => {}
            }
            Some(format!("{read:?}"))
        })
        .collect()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Note::parse(text);
        if Canonical::read(text).is_ok() {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            // A float of 2^53 or more may be written as an integer, and is not written again.
            assert!(Canonical::of(&value).map_or(true, |it| it.as_str() == text));
        }
    }
    let file = if kind.is_multiple_of(2) {
        bytes.to_vec()
    } else {
        let Some((&[high, low, remove], put)) = bytes.split_first_chunk() else { return };
        let mut file = EXPORT.as_bytes().to_vec();
        let at = usize::from(u16::from_be_bytes([high, low])) % file.len();
        let end = (at + usize::from(remove)).min(file.len());
        file.splice(at..end, put.iter().copied());
        file
    };
    let report = verified(&file, usize::MAX);
    assert_eq!(verified(&file, 61), report);
    if matches!(report.outcome, Outcome::Whole | Outcome::Partial) {
        assert_eq!(says(&file), says(EXPORT.as_bytes()));
    }
});
