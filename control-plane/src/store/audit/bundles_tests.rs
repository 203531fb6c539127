use kya_core::audit::ChainHash;

use super::*;
use crate::time::UnixMicros;

fn line(seq: u64, record: String) -> NewLine {
    NewLine {
        seq,
        kind: "decision",
        time: UnixMicros(1000 - seq),
        agent_id: Some(format!("agt_{}", seq % 3)),
        act: None,
        kill_id: None,
        record,
        hash: ChainHash([u8::try_from(seq % 251).unwrap(); 32]),
    }
}

fn ranges(lines: &[NewLine]) -> Vec<(u64, u64)> {
    pack(lines).iter().map(|it| (it.first, it.last)).collect()
}

fn short(seqs: std::ops::RangeInclusive<u64>) -> Vec<NewLine> {
    seqs.map(|seq| line(seq, format!("{{\"seq\":{seq}}}"))).collect()
}

#[test]
fn a_bundle_has_256_records_and_no_more() {
    assert_eq!(ranges(&[]), []);
    assert_eq!(ranges(&short(5..=5)), [(5, 5)]);
    assert_eq!(ranges(&short(5..=260)), [(5, 260)]);
    assert_eq!(ranges(&short(5..=261)), [(5, 260), (261, 261)]);
    assert_eq!(ranges(&short(1..=600)), [(1, 256), (257, 512), (513, 600)]);
}

#[test]
fn a_bundle_is_no_longer_than_256_kib_unless_it_is_one_record() {
    let long = |seq, bytes| line(seq, "x".repeat(bytes));
    let lines = [long(1, 10), long(2, BYTES), long(3, 10), long(4, 20)];
    assert_eq!(ranges(&lines), [(1, 1), (2, 2), (3, 4)]);
    // With the line feeds it is one byte too many, or just what there is room for.
    assert_eq!(ranges(&[long(1, BYTES / 2), long(2, BYTES / 2 - 1)]), [(1, 1), (2, 2)]);
    let both = [long(1, BYTES / 2), long(2, BYTES / 2 - 2)];
    assert_eq!(ranges(&both), [(1, 2)]);
    assert_eq!(pack(&both)[0].records.len(), BYTES);
}

#[test]
fn what_says_that_something_is_archived_is_alone() {
    let mut lines = short(1..=5);
    lines[2].kind = "archived";
    assert_eq!(ranges(&lines), [(1, 2), (3, 3), (4, 5)]);
    lines[3].kind = "archived";
    assert_eq!(ranges(&lines), [(1, 2), (3, 3), (4, 4), (5, 5)]);
}

#[test]
fn a_bundle_says_what_is_in_it() {
    let mut lines = short(7..=11);
    lines[1].agent_id = None;
    (lines[2].act, lines[2].kill_id) = (Some("a".to_owned()), Some("k".to_owned()));
    let bundles = pack(&lines);
    let it = &bundles[0];
    assert_eq!((it.from, it.until), (1000 - 11, 1000 - 7));
    assert_eq!(it.values(What::Agent), ["agt_0", "agt_1", "agt_2"]);
    assert_eq!((it.values(What::Act), it.values(What::Kill)), (vec!["a"], vec!["k"]));
    let (first, hashes, records) = (it.first, it.hashes.clone(), it.records.clone());
    let stored = StoredBundle { first, hashes, records };
    assert_eq!((stored.first(), stored.last()), (7, 11));
    let read = stored.lines().unwrap();
    assert_eq!(read.len(), 5);
    for (line, read) in lines.iter().zip(read) {
        let expected = StoredLine { seq: line.seq, record: line.record.clone(), hash: line.hash };
        assert_eq!(read.to_line(), expected);
    }
}

#[test]
fn what_does_not_fit_together_is_not_read() {
    let bundle = |hashes: usize, records: &str| StoredBundle {
        first: 1,
        hashes: vec![0; hashes],
        records: records.to_owned(),
    };
    assert!(bundle(64, "a\nb\n").lines().is_ok());
    for (hashes, records) in
        [(64, "a\nb"), (64, "a\n"), (64, "a\nb\nc\n"), (63, "a\nb\n"), (64, "")]
    {
        assert!(bundle(hashes, records).lines().is_err(), "{hashes} {records:?}");
    }
}
