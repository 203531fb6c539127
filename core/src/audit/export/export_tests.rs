use super::*;
use crate::audit::merkle::{Frontier, Node};
use crate::audit::{Canonical, ChainHash};

fn header(first: u64, last: u64) -> Header {
    let origin = "kya.test/audit".to_owned();
    Header { version: VERSION, origin, first, last, previous: ChainHash::START, filter: None }
}

fn text(seq: u64) -> String {
    Canonical::of(&seq).unwrap().into_string()
}

fn leaf(seq: u64) -> NodeHash {
    NodeHash::leaf(text(seq).as_bytes())
}

/// Lines of an export of `last` records of which those in `shown` are shown.
fn written(last: u64, shown: &[u64]) -> Vec<String> {
    let mut out = String::new();
    let mut writer = ExportWriter::new(header(1, last), &mut out).unwrap();
    for seq in 1..=last {
        if shown.contains(&seq) {
            writer.show(seq, ChainHash([1; 32]), &text(seq), &mut out).unwrap();
        } else {
            writer.hide(seq, leaf(seq), ChainHash([2; 32])).unwrap();
        }
    }
    writer.finish("note", Vec::new(), &mut out).unwrap();
    assert!(out.ends_with('\n'));
    out.lines().map(str::to_owned).collect()
}

#[test]
fn the_lines_are_those_of_the_documentation() {
    let lines = written(3, &[1]);
    let zeros = "0".repeat(64);
    let cover = [leaf(2), leaf(3)];
    assert_eq!(
        lines,
        [
            format!(
                r#"{{"export":{{"version":1,"origin":"kya.test/audit","first":1,"last":3,"previous":"{zeros}"}}}}"#
            ),
            format!(r#"{{"hash":"{}","record":1}}"#, "01".repeat(32)),
            format!(
                r#"{{"skipped":{{"first":2,"last":3,"cover":["{}","{}"],"hash":"{}"}}}}"#,
                cover[0],
                cover[1],
                "02".repeat(32)
            ),
            r#"{"checkpoint":"note","keys":[]}"#.to_owned(),
        ]
    );
}

#[test]
fn lines_are_read_as_they_were_written() {
    let lines = written(3, &[1]);
    assert_eq!(Line::parse(&lines[0]), Ok(Line::Header(header(1, 3))));
    let record = Line::Record { hash: ChainHash([1; 32]), record: "1" };
    assert_eq!(Line::parse(&lines[1]), Ok(record));
    let cover = vec![leaf(2), leaf(3)];
    let skipped = Skipped { first: 2, last: 3, cover, hash: ChainHash([2; 32]) };
    assert_eq!(Line::parse(&lines[2]), Ok(Line::Skipped(skipped)));
    let sealed = Sealed { checkpoint: "note".into(), keys: Some(Vec::new()) };
    assert_eq!(Line::parse(&lines[3]), Ok(Line::Sealed(sealed)));
}

#[test]
fn the_tree_of_shown_leaves_and_covers_is_the_whole_tree() {
    for shown in [&[][..], &[1], &[20], &[3, 4, 11], &[2, 4, 6, 8, 10, 12, 14, 16, 18, 20]] {
        let mut tree = Frontier::new();
        for line in written(20, shown) {
            match Line::parse(&line).unwrap() {
                Line::Record { record, .. } => {
                    tree.push(NodeHash::leaf(record.as_bytes())).unwrap()
                }
                Line::Skipped(it) => {
                    let nodes = Node::cover(it.first - 1, it.last);
                    for (node, hash) in nodes.into_iter().zip(it.cover) {
                        tree.push_subtree(node.level, hash).unwrap();
                    }
                }
                Line::Header(_) | Line::Sealed(_) => {}
            }
        }
        let mut whole = Frontier::new();
        (1..=20).for_each(|seq| whole.push(leaf(seq)).unwrap());
        assert_eq!(tree, whole, "{shown:?}");
    }
}

#[test]
fn what_is_out_of_its_place_is_not_written() {
    let mut out = String::new();
    let mut writer = ExportWriter::new(header(3, 4), &mut out).unwrap();
    let order = |expected, found| Err(ExportError::Order { expected, found });
    assert_eq!(writer.show(2, ChainHash::START, "2", &mut out), order(1, 2));
    assert_eq!(writer.hide(0, leaf(0), ChainHash::START), order(1, 0));
    let skip = |writer: &mut ExportWriter, last, cover: u64| {
        writer.skip_to(last, (0..cover).map(leaf).collect(), ChainHash::START, &mut String::new())
    };
    assert_eq!(skip(&mut writer, 2, 2), Err(ExportError::Cover(2)));
    assert_eq!(skip(&mut writer, 0, 0), order(1, 0));
    assert_eq!(skip(&mut writer, 2, 1), Ok(()));
    assert_eq!(writer.next(), 3);
    assert_eq!(writer.finish("note", Vec::new(), &mut out), order(3, 5));
}

#[test]
fn another_line_is_refused() {
    let lines = written(3, &[1]);
    for (line, from, to) in [
        (0, "\"version\":1", "\"version\":\"1\""),
        (0, "\"first\":1,", ""),
        (0, "\"first\":1,", "\"first\":1,\"more\":1,"),
        (1, "\",\"record\"", "\", \"record\""),
        (1, "\"record\":1}", "\"record\":1"),
        (1, "01\"", "0\""),
        (1, "01\"", "0A\""),
        (2, "\"first\":2", "\"first\":-2"),
        (2, "=\"", "\""),
        (3, "\"keys\"", "\"key\""),
        (3, "}", ""),
    ] {
        let changed = lines[line].replacen(from, to, 1);
        assert_ne!(changed, lines[line]);
        assert_eq!(Line::parse(&changed), Err(BadLine::Form), "{changed}");
    }
    let later = lines[0].replacen("\"version\":1", "\"version\":2", 1);
    assert_eq!(Line::parse(&later), Err(BadLine::Version(2)));
    assert_eq!(Line::parse(""), Err(BadLine::Form));
    assert_eq!(Line::parse(&"a".repeat(MAX_LINE_BYTES + 1)), Err(BadLine::TooLong));
}
