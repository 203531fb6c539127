//! Selectors and labels, as operators write them: what is read is written back as it
//! was, says of any labels what a plain reading of its text says, and names nobody
//! where it is empty.
//!
//! An input is a selector and labels, a line each.
#![no_main]

use libfuzzer_sys::fuzz_target;

// Not all of it is used here. The control plane as a whole would bring its databases.
#[allow(dead_code, unused_imports)]
#[path = "../../control-plane/src/labels/mod.rs"]
mod labels;

use labels::{LabelKey, Labels, MAX_LABELS, Selector};

fn is_met(part: &str, labels: &Labels) -> bool {
    let value = |key: &str| {
        let key = LabelKey::try_from(key.to_owned()).expect("it was read as a key");
        labels.get(&key).map(|value| value.as_str().to_owned())
    };
    if let Some(key) = part.strip_prefix('!') {
        return value(key).is_none();
    }
    let Some(at) = part.find('=') else { return value(part).is_some() };
    let (key, wanted) = (&part[..at], &part[at + 1..]);
    match key.strip_suffix('!') {
        Some(key) => value(key).as_deref() != Some(wanted),
        None => value(key).as_deref() == Some(wanted),
    }
}

fuzz_target!(|text: &str| {
    let (selector, labels) = text.split_once('\n').unwrap_or((text, ""));
    let labels: Labels = match labels.parse() {
        Ok(labels) => labels,
        Err(error) => {
            assert!(error.to_string().len() < 1_000);
            Labels::default()
        }
    };
    assert!(labels.iter().count() <= MAX_LABELS);
    assert_eq!(labels.to_string().parse().as_ref(), Ok(&labels));
    let json = serde_json::to_string(&labels).expect("labels are JSON");
    assert_eq!(serde_json::from_str::<Labels>(&json).expect("they were labels"), labels);
    let read: Result<Selector, _> = selector.parse();
    let quoted = serde_json::to_string(selector).expect("a text is JSON");
    assert_eq!(serde_json::from_str::<Selector>(&quoted).ok(), read.clone().ok());
    match read {
        Err(error) => assert!(error.to_string().len() < 1_000),
        Ok(read) => {
            assert_eq!(read.to_string(), selector);
            let parts: Vec<_> = selector.split(',').collect();
            assert!((1..=16).contains(&parts.len()));
            assert_eq!(read.matches(&labels), parts.iter().all(|part| is_met(part, &labels)));
            // Whoever is found by an index of one label is found at all.
            if let Some((key, value)) = read.label()
                && read.matches(&labels)
            {
                assert_eq!(labels.get(key), Some(value));
            }
        }
    }
});
