use proptest::prelude::*;

use sha2::{Digest, Sha256};

use super::*;
use crate::audit::hex;
use crate::testing::audit::{Trail, audit_key, audit_signer, forgeries};

fn options(earlier: &[String]) -> Options {
    let earlier = earlier.iter().map(|it| SignedCheckpoint::parse(it).unwrap()).collect();
    Options { keys: vec![audit_key(1)], earlier, whole_since: None }
}

fn verified(file: &[u8], options: Options) -> Report {
    let mut verifier = Verifier::new(options);
    verifier.write(file);
    verifier.finish()
}

fn kinds(report: &Report) -> Vec<(&'static str, Option<u64>)> {
    report.problems.iter().map(|it| (it.kind, it.record)).collect()
}

#[test]
fn every_forgery_is_found_and_named() {
    for forgery in forgeries() {
        let report = verified(&forgery.file, options(&forgery.earlier));
        let first = report.problems.first().map(|it| (it.kind, it.record));
        assert_eq!(
            first,
            Some((forgery.kind, forgery.record)),
            "{}: {:#?}",
            forgery.name,
            report.problems
        );
        let lack = forgery.kind == "not_comparable";
        let outcome = if lack { Outcome::Unproven } else { Outcome::Tampered };
        assert_eq!(report.outcome, outcome, "{}", forgery.name);
        assert!(report.problems.len() <= 3, "{}: {:#?}", forgery.name, report.problems);
    }
}

#[test]
fn a_whole_trail_is_whole() {
    for size in [1, 2, 3, 12, 255, 256, 257, 600] {
        let trail = Trail::of(size);
        let report = verified(trail.export().as_bytes(), options(&[]));
        assert_eq!(report.problems, []);
        assert_eq!(report.outcome, Outcome::Whole);
        assert_eq!((report.shown, report.hidden), (size, 0));
        let head = report.checkpoint.unwrap();
        assert_eq!((head.size, head.root, head.key), (size, trail.head(size).root, audit_key(1)));
    }
}

#[test]
fn line_breaks_and_pieces_do_not_matter() {
    let export = Trail::of(7).export();
    let expected = verified(export.as_bytes(), options(&[]));
    assert_eq!(verified(export.trim_end().as_bytes(), options(&[])), expected);
    assert_eq!(verified(export.replace('\n', "\r\n").as_bytes(), options(&[])), expected);
    for piece in [1, 3, 64, 1000] {
        let mut verifier = Verifier::new(options(&[]));
        export.as_bytes().chunks(piece).for_each(|it| verifier.write(it));
        assert_eq!(verifier.finish(), expected);
    }
}

#[test]
fn what_is_hidden_is_said() {
    let trail = Trail::of(20);
    let export = trail.export_of(3, 20, &[], |seq| !(5..=8).contains(&seq) && seq != 20);
    let report = verified(export.as_bytes(), options(&[]));
    assert_eq!(report.problems, []);
    assert_eq!(report.outcome, Outcome::Partial);
    assert_eq!((report.shown, report.hidden), (14, 6));
    let runs: Vec<_> = report.hidden_runs.iter().map(|it| (it.first, it.last)).collect();
    assert_eq!(runs, [(2, 2), (5, 8), (20, 20)]);
    // What comes before the export begins is excused by nothing but an archive.
    assert_eq!(report.not_archived.map(|it| (it.first, it.last)), Some((2, 2)));

    let since = |number| Options { whole_since: Some(number), ..options(&[]) };
    let report = verified(export.as_bytes(), since(8));
    assert_eq!(report.outcome, Outcome::Unproven);
    assert_eq!(kinds(&report), [("not_shown", Some(8)), ("not_shown", Some(20))]);
    let export = trail.export_of(3, 20, &[], |seq| seq > 8);
    assert_eq!(verified(export.as_bytes(), since(9)).outcome, Outcome::Partial);

    // Every second one: more runs than are listed.
    let export = Trail::of(500).export_of(1, 500, &[], |seq| seq % 2 == 0 || seq == 1);
    let report = verified(export.as_bytes(), options(&[]));
    assert_eq!(report.outcome, Outcome::Partial);
    assert_eq!((report.hidden_runs.len(), report.more_hidden_runs), (100, 149));
}

#[test]
fn without_a_pinned_key_nothing_verifies() {
    let report = verified(Trail::of(5).export().as_bytes(), Options::default());
    assert_eq!(kinds(&report), [("wrong_key", Some(5))]);
    assert_eq!(report.checkpoint, None);
}

#[test]
fn a_pinned_key_is_followed_to_those_after_it() {
    let mut trail = Trail::of(6);
    trail.change_key(2);
    trail.grow(9);
    trail.change_key(3);
    trail.grow(12);
    let report =
        verified(trail.export_of(1, 12, &[4, 6, 8, 11], |_| true).as_bytes(), options(&[]));
    assert_eq!(report.problems, []);
    let followed: Vec<_> = report.followed.iter().map(|it| (it.record, it.key.clone())).collect();
    assert_eq!(followed, [(7, audit_key(2)), (10, audit_key(3))]);
    assert_eq!(report.checkpoint.unwrap().key, audit_key(3));
    // Whoever pins a later one need not know the first.
    let pinned = Options { keys: vec![audit_key(3)], ..Options::default() };
    assert_eq!(verified(trail.export().as_bytes(), pinned).outcome, Outcome::Whole);
    // An export whose records name no key that counts.
    let pinned = Options { keys: vec![audit_key(9)], ..Options::default() };
    assert_eq!(kinds(&verified(trail.export().as_bytes(), pinned)), [("wrong_key", Some(12))]);
}

#[test]
fn checkpoints_that_were_kept_agree_where_nothing_was_changed() {
    let trail = Trail::of(12);
    let kept = [trail.checkpoint(12), trail.checkpoint(3), trail.checkpoint(9)];
    let report = verified(trail.export().as_bytes(), options(&kept));
    assert_eq!(report.outcome, Outcome::Whole);
    let compared: Vec<_> = report.compared.iter().map(|it| (it.size, it.agrees)).collect();
    assert_eq!(compared, [(3, true), (9, true), (12, true)]);
    // Hidden around it, but with a checkpoint there.
    let export = trail.export_of(1, 12, &[9], |seq| seq == 1);
    assert_eq!(verified(export.as_bytes(), options(&kept[2..])).outcome, Outcome::Partial);

    // One that nobody who counts has signed is no evidence, and is said to be none.
    let forged = trail.head(9).sign(&audit_signer(9)).unwrap();
    let report = verified(trail.export().as_bytes(), options(&[forged]));
    assert_eq!(kinds(&report), [("wrong_key", Some(9))]);
}

#[test]
fn where_the_trail_was_rewritten_is_narrowed_by_what_was_kept() {
    let forgery = forgeries().into_iter().find(|it| it.name.contains("all hashes")).unwrap();
    let trail = Trail::of(12);
    let kept = [trail.checkpoint(7), trail.checkpoint(8), trail.checkpoint(10)];
    let report = verified(&forgery.file, options(&kept));
    let first = &report.problems[0];
    assert_eq!((first.kind, first.record, first.last_record), ("rewritten", Some(8), None));
}

#[test]
fn segments_are_verified_across_their_seams() {
    let mut trail = Trail::of(10);
    let segment = trail.export_of(1, 10, &[], |_| true);
    let sha256 = hex::encode(&<[u8; 32]>::from(Sha256::digest(&segment)));
    trail.archive(1, 10, &sha256);
    trail.change_key(2);
    trail.grow(20);
    let second = trail.export_of(11, 20, &[], |_| true);
    trail.grow(30);
    let third = trail.export_of(21, 30, &[], |_| true);
    let run = |files: &[&str], options| {
        let mut series = Series::new(options);
        let end = files.len() - 1;
        let mut reports = Vec::new();
        for (at, file) in files.iter().enumerate() {
            let mut reading = series.file(at == end);
            reading.write(file.as_bytes());
            reports.push(reading.finish());
        }
        reports
    };
    let outcomes = |reports: &[Report]| reports.iter().map(|it| it.outcome).collect::<Vec<_>>();
    let kept = [trail.checkpoint(5), trail.checkpoint(16), trail.checkpoint(30)];
    let whole = Options { whole_since: Some(1), ..options(&kept) };
    let reports = run(&[&segment, &second, &third], whole);
    assert_eq!(outcomes(&reports), [Outcome::Whole; 3]);
    assert!(reports[1].archives[0].seen && reports[1].not_archived.is_none());
    assert_eq!(reports[2].continues, Some(20));
    let compared: Vec<_> = reports[2].compared.iter().map(|it| (it.size, it.agrees)).collect();
    assert_eq!(compared, [(20, true), (30, true)], "the file before, and the one that was kept");
    // Without the first, that of the second is not shown, and nothing else is amiss.
    assert_eq!(outcomes(&run(&[&third], options(&[])))[..], [Outcome::Partial]);
    // Without the second, nobody sees that the third goes on from the first.
    let reports = run(&[&segment, &third], options(&[]));
    assert_eq!(kinds(&reports[1]), [("not_comparable", Some(10))]);

    // Another first segment, signed by the same key.
    let mut other = Trail::of(7);
    other.append(Entry::Key(KeyNamed::first(&audit_key(1))));
    other.grow(10);
    let reports = run(&[&other.export(), &second], options(&[]));
    assert_eq!(kinds(&reports[1]), [("split_view", Some(10)), ("other_segment", Some(11))]);
    // The same records, in another file.
    let shorter = trail.export_of(1, 10, &[5], |_| true);
    assert_eq!(kinds(&run(&[&shorter, &second], options(&[]))[1]), [("other_segment", Some(11))]);
    // What was archived ends between two checkpoints, so that the segment goes further.
    let mut between = Trail::of(10);
    let (longer, sha) = (between.export_of(1, 10, &[], |_| true), "00".repeat(32));
    between.archive(1, 8, &sha);
    between.grow(20);
    let rest = between.export_of(11, 20, &[], |_| true);
    let reports = run(&[&longer, &rest], options(&[]));
    assert_eq!(kinds(&reports[1]), [("other_segment", Some(11))]);
    assert!(!reports[1].archives[0].seen);
    // A file with a checkpoint of these records within it was not made of them alone.
    let other = between.export_of(1, 10, &[8], |_| true);
    assert_eq!(outcomes(&run(&[&other, &rest], options(&[]))), [Outcome::Whole; 2]);
    // In the wrong order.
    assert_eq!(kinds(&run(&[&second, &segment], options(&[]))[1]), [("rollback", Some(11))]);
    // A checkpoint that only a missing segment could show.
    let reports = run(&[&segment, &third], options(&kept[1..2]));
    assert_eq!(kinds(&reports[0]), []);
    assert_eq!(kinds(&reports[1]), [("not_comparable", Some(10)), ("not_comparable", Some(16))]);
}

/// What an export says, whatever the spelling of its lines.
fn says(export: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(export).ok()?;
    let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    let line =
        |it: &str| Line::parse(it.strip_suffix('\r').unwrap_or(it)).map(|it| format!("{it:?}"));
    lines.map(|it| line(it).ok()).collect()
}

/// All but the keys that the last line names, which prove nothing and are not looked at.
fn counts(export: &[u8]) -> Option<Vec<String>> {
    let mut lines = says(export)?;
    let last = lines.pop()?;
    lines.push(last.split(", keys:").next()?.to_owned());
    Some(lines)
}

proptest! {
    /// Whatever is changed in a file is found, unless it says the same in other letters.
    #[test]
    fn no_change_of_bytes_goes_unnoticed(
        at in any::<prop::sample::Index>(),
        remove in 0..3usize,
        put in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let mut trail = Trail::of(6);
        trail.change_key(2);
        trail.grow(9);
        let export = trail.export_of(1, 9, &[5], |seq| seq != 3).into_bytes();
        let mut changed = export.clone();
        let at = at.index(changed.len());
        changed.splice(at..(at + remove).min(export.len()), put);
        let report = verified(&changed, options(&[]));
        if report.outcome != Outcome::Tampered {
            let filter = report.filter.is_some();
            prop_assert!(filter || counts(&changed) == counts(&export), "{report:#?}");
        }
    }

    /// No arrangement of the lines but the true one verifies as whole.
    #[test]
    fn no_arrangement_of_lines_goes_unnoticed(order in prop::collection::vec(0..12usize, 8..14)) {
        let export = Trail::of(10).export();
        let lines: Vec<_> = export.lines().collect();
        let arranged: Vec<_> = order.iter().map(|it| lines[*it]).collect();
        let report = verified(arranged.join("\n").as_bytes(), options(&[]));
        prop_assert!(report.outcome == Outcome::Tampered || arranged == lines);
        let mut swapped = lines.clone();
        swapped.swap(order[0], order[1]);
        let report = verified(swapped.join("\n").as_bytes(), options(&[]));
        prop_assert!(report.outcome == Outcome::Tampered || swapped == lines);
    }
}

#[test]
fn a_checkpoint_of_no_records_is_no_whole_trail() {
    let trail = Trail::of(12);
    let note = trail.checkpoint(0);
    let header = trail.export().lines().next().unwrap().replace("\"last\":12", "\"last\":0");
    let sealed = serde_json::json!({ "checkpoint": note, "keys": [audit_key(1)] });
    let report = verified(format!("{header}\n{sealed}\n").as_bytes(), options(&[]));
    assert_eq!(
        (report.outcome, &kinds(&report)[..]),
        (Outcome::Tampered, &[("emptied", None)][..])
    );
}

#[test]
fn hidden_records_are_excused_by_the_archive_that_covers_them_and_by_nothing_else() {
    let mut trail = Trail::of(10);
    trail.archive(1, 6, &"00".repeat(32));
    trail.change_key(2);
    trail.archive(7, 12, &"11".repeat(32));
    trail.grow(20);
    let hides = |shown: fn(u64) -> bool| {
        let report = verified(trail.export_of(1, 20, &[], shown).as_bytes(), options(&[]));
        assert_eq!(report.outcome, Outcome::Partial, "{:?}", report.problems);
        report.not_archived.map(|it| (it.first, it.last))
    };
    // As a server shows it: the key, what was archived, and everything that is there.
    assert_eq!(hides(|seq| matches!(seq, 1 | 11..)), None);
    assert_eq!(hides(|seq| matches!(seq, 1..=4 | 7 | 11..)), None);
    assert_eq!(hides(|seq| matches!(seq, 1 | 11..=14 | 16..)), Some((15, 15)));
    // Beyond the archive.
    assert_eq!(hides(|seq| matches!(seq, 1 | 11..=13) || seq > 15), Some((14, 15)));
    assert_eq!(hides(|seq| matches!(seq, 1 | 12) || seq > 15), Some((2, 11)));
    // The record that says so is hidden as well: that is in the second archive, and the
    // first is not known.
    assert_eq!(hides(|seq| matches!(seq, 1 | 12..)), Some((2, 11)));
    // As far as one of them goes.
    assert_eq!(hides(|seq| matches!(seq, 1 | 11 | 12) || seq > 13), Some((7, 10)));
}

#[test]
fn a_key_that_was_recovered_counts_for_whoever_pins_it_and_is_said_aloud() {
    let mut trail = Trail::of(6);
    trail.recover_key(2);
    trail.grow(12);
    let export = trail.export();
    let report = verified(export.as_bytes(), options(&[]));
    assert_eq!(kinds(&report), [("not_followed", Some(7)), ("wrong_key", Some(12))]);
    assert!(report.problems[0].detail.contains(&audit_key(2).to_string()));
    let with = |keys: &[u8]| Options {
        keys: keys.iter().map(|n| audit_key(*n)).collect(),
        ..Options::default()
    };
    for keys in [&[2][..], &[1, 2]] {
        let report = verified(export.as_bytes(), with(keys));
        assert_eq!((report.outcome, report.problems.len()), (Outcome::Whole, 0));
        let [it] = report.recovered.as_slice() else { panic!("{report:?}") };
        assert_eq!(
            (it.record, it.pinned, it.reason.as_deref()),
            (7, true, Some("the disk is gone"))
        );
    }
    // The key that was lost counts no more from there on.
    let found_again = trail.head(12).sign(&audit_signer(1)).unwrap();
    let forged = export
        .replace(&trail.checkpoint(12).replace('\n', "\\n"), &found_again.replace('\n', "\\n"));
    assert_ne!(forged, export);
    let kinds = kinds(&verified(forged.as_bytes(), options(&[])));
    assert_eq!(kinds, [("not_followed", Some(7)), ("wrong_key", Some(12))]);
    // What follows from it by a signature, follows from it.
    trail.change_key(3);
    trail.grow(15);
    assert_eq!(verified(trail.export().as_bytes(), with(&[2])).outcome, Outcome::Whole);
    assert_eq!(verified(trail.export().as_bytes(), with(&[3])).outcome, Outcome::Whole);
    assert_eq!(verified(trail.export().as_bytes(), with(&[1])).outcome, Outcome::Tampered);
}
