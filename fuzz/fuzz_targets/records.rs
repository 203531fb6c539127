//! Chunks of records: a chunk is read whole or not at all, and what was read can
//! be taken by who holds it.
#![no_main]

use kya_core::{Authority, Change, Image, MAX_ACTION_BYTES, Position, Revision, records, wire};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(|bytes: &[u8]| {
    let Ok(sent) = wire::Records::decode(bytes) else {
        assert_eq!(records(bytes), None);
        return;
    };
    let each: Vec<_> = sent.records.iter().map(Change::from_wire).collect();
    let read = records(bytes);
    assert_eq!(read, each.iter().cloned().collect::<Option<Vec<_>>>());

    let mut image = Image::new();
    for (record, change) in sent.records.iter().zip(&each) {
        assert_eq!(image.apply(record).is_ok(), change.is_some());
        if let Some(Change::Capability(_, action, _)) = change {
            assert!((1..=MAX_ACTION_BYTES).contains(&action.as_str().len()));
        }
    }
    let published = image.publish();
    let indexes = published.manifest().records();
    let contents: Vec<_> = indexes.map(|index| published.chunk(index).unwrap()).collect();
    let again: Vec<_> = contents.iter().flat_map(|it| records(it).unwrap()).collect();
    assert!(again.iter().all(|change| each.contains(&Some(change.clone()))));

    let position = |revision| Position { epoch: 1, revision: Revision(revision) };
    let first = Authority::default().reloaded(position(1), read.unwrap_or_default()).unwrap();
    first.reloaded(position(2), again).unwrap();
});
