//! Exports that somebody has tampered with, each with what must be found.

use super::{ORIGIN, Trail, audit_key, audit_signer};
use crate::audit::{ChainHash, Checkpoint, Entry, KeyNamed};

/// A file that must not verify by key 1.
#[derive(Debug, Clone)]
pub struct Forgery {
    /// What was done.
    pub name: &'static str,
    /// What it became.
    pub file: Vec<u8>,
    /// Checkpoints that the auditor has kept.
    pub earlier: Vec<String>,
    /// Name of the first problem that must be found.
    pub kind: &'static str,
    /// Number of the record that it must name.
    pub record: Option<u64>,
}

/// Records of the trail that is forged here.
const SIZE: u64 = 12;

/// All of them.
pub fn forgeries() -> Vec<Forgery> {
    let mut all = contents();
    all.extend(orders());
    all.extend(ends());
    all.extend(signatures());
    all.extend(forms());
    all
}

fn forged(
    name: &'static str,
    lines: impl IntoIterator<Item = String>,
    kind: &'static str,
    record: impl Into<Option<u64>>,
) -> Forgery {
    let file = lines.into_iter().fold(String::new(), |all, line| all + &line + "\n");
    let file = file.into_bytes();
    Forgery { name, file, earlier: Vec::new(), kind, record: record.into() }
}

/// The header is line 0, record `n` is line `n`, and the checkpoint the last one.
fn lines() -> Vec<String> {
    lines_of(&Trail::of(SIZE).export())
}

fn lines_of(export: &str) -> Vec<String> {
    export.lines().map(str::to_owned).collect()
}

fn changed(line: &str, from: &str, to: &str) -> String {
    let it = line.replacen(from, to, 1);
    assert_ne!(it, line, "`{from}` is not in it");
    it
}

/// A record and its hash, of a line.
fn parts(line: &str) -> (&str, &str) {
    let rest = line.strip_prefix("{\"hash\":\"").unwrap();
    let (hash, record) = rest.split_once("\",\"record\":").unwrap();
    (hash, record.strip_suffix('}').unwrap())
}

/// Makes the hashes of these lines fit the record before the first, and each other.
fn hashed_anew(lines: &mut [String], from: usize, to: usize) {
    for at in from..=to {
        let before: ChainHash = match at {
            1 => ChainHash::START,
            _ => parts(&lines[at - 1]).0.parse().unwrap(),
        };
        let record = parts(&lines[at]).1;
        let hash = before.next(record.as_bytes());
        lines[at] = format!("{{\"hash\":\"{hash}\",\"record\":{record}}}");
    }
}

/// Gives the records from this line on, up to the checkpoint, the numbers of their places.
fn numbered_anew(lines: &mut [String], from: usize) {
    let end = lines.len() - 1;
    for (at, line) in lines.iter_mut().enumerate().take(end).skip(from) {
        let (head, tail) = line.split_once("\"seq\":").unwrap();
        let rest = tail.trim_start_matches(|it: char| it.is_ascii_digit());
        *line = format!("{head}\"seq\":{at}{rest}");
    }
}

fn forged_record(line: &str) -> String {
    changed(line, "charge.create", "charge.refund")
}

fn contents() -> Vec<Forgery> {
    let mut all = Vec::new();
    for record in [2, 8, 12] {
        let mut edited = lines();
        let at = usize::try_from(record).unwrap();
        edited[at] = forged_record(&edited[at]);
        all.push(forged("a record is edited", edited, "edited", record));
    }
    let mut it = lines();
    it[7] = changed(&it[7], "\"allow\"", "\"deny\"");
    it[9] = changed(&it[9], "\"deny\"", "\"allow\"");
    all.push(forged("two records are edited", it, "edited", 7));
    let mut it = lines();
    it[8] = forged_record(&it[8]);
    hashed_anew(&mut it, 8, 8);
    all.push(forged("a record is edited and its hash made anew", it, "edited", 9));
    let mut it = lines();
    it[8] = forged_record(&it[8]);
    hashed_anew(&mut it, 8, 12);
    all.push(forged("a record is edited and all hashes made anew", it.clone(), "rewritten", 1));
    it.insert(7, sealed(&Trail::of(SIZE).checkpoint(6)));
    it.insert(11, sealed(&Trail::of(SIZE).checkpoint(9)));
    all.push(forged("the same, with checkpoints around it", it, "rewritten", 7));
    let mut it = lines();
    it[8] = changed(&lines()[8], parts(&lines()[8]).0, parts(&lines()[7]).0);
    all.push(forged("the hash of a record is changed", it, "edited", 8));
    let mut it = lines();
    it[8] = changed(&it[8], ",\"method\"", ", \"method\"");
    all.push(forged("a record is written otherwise", it, "not_canonical", 8));
    let mut it = lines();
    it[8] = changed(&it[8], "\"worker\"", "\"worker\":1,\"worker\"");
    all.push(forged("a record says something twice", it, "not_canonical", 8));
    all
}

fn orders() -> Vec<Forgery> {
    let mut all = Vec::new();
    let mut it = lines();
    it.swap(4, 5);
    all.push(forged("two records are swapped", it, "reordered", 4));
    let mut it = lines();
    it.swap(3, 9);
    all.push(forged("two records that are apart are swapped", it, "reordered", 3));
    let mut it = lines();
    let moved = it.remove(9);
    it.insert(3, moved);
    all.push(forged("a record is moved to the front", it, "reordered", 3));
    let mut it = lines();
    let moved = it.remove(3);
    it.insert(9, moved);
    all.push(forged("a record is moved to the back", it, "reordered", 3));
    let mut it = lines();
    it[3..11].reverse();
    all.push(forged("records are in reverse", it, "reordered", 3));

    let mut it = lines();
    it.insert(6, it[5].clone());
    all.push(forged("a record is repeated", it, "inserted", 5));
    let mut it = lines();
    it.insert(3, it[9].clone());
    all.push(forged("a record is copied to the front", it, "inserted", 9));
    let mut it = lines();
    it.insert(8, forged_record(&it[8]));
    all.push(forged("a record is put before that of its number", it, "inserted", 8));
    let mut it = lines();
    it.insert(8, forged_record(&it[8]));
    hashed_anew(&mut it, 8, 8);
    all.push(forged("the same, with a hash that fits", it, "inserted", 8));
    let mut it = lines();
    it.insert(8, forged_record(&it[8]));
    numbered_anew(&mut it, 8);
    all.push(forged("a record is put in and the others numbered anew", it, "inserted", 8));
    let mut it = lines();
    it.insert(8, forged_record(&it[8]));
    numbered_anew(&mut it, 8);
    hashed_anew(&mut it, 8, 13);
    all.push(forged("the same, with hashes that fit", it, "inserted", 13));

    let mut it = lines();
    it.remove(5);
    all.push(forged("a record is taken out", it, "removed", 5));
    let mut it = lines();
    it.drain(5..8);
    all.push(forged("three records are taken out", it, "removed", 5));
    let mut it = lines();
    it.remove(1);
    all.push(forged("the first record is taken out", it, "removed", 1));
    let mut it = lines();
    it.remove(9);
    it.remove(3);
    all.push(forged("two records are taken out", it, "removed", 3));
    let mut it = lines();
    it.remove(5);
    numbered_anew(&mut it, 5);
    all.push(forged("a record is taken out and the others numbered anew", it, "removed", 5));
    all
}

fn ends() -> Vec<Forgery> {
    let mut all = Vec::new();
    let trail = Trail::of(SIZE);
    let mut it = lines();
    it.drain(10..13);
    all.push(forged("the last records are taken out", it.clone(), "cut_tail", 10));
    it.pop();
    all.push(forged("the end of the file is taken out", it.clone(), "cut_tail", 10));
    it[9].truncate(200);
    let mut cut = forged("the file is cut off within a line", it, "cut_tail", 9);
    cut.file.pop();
    all.push(cut);
    let mut it = lines();
    it.pop();
    all.push(forged("the checkpoint is taken out", it, "cut_tail", 13));
    let mut it = lines();
    it.drain(10..14);
    it.push(changed(&sealed(&trail.checkpoint(9)), "}", ",\"keys\":[]}"));
    all.push(forged("the end is replaced by an older checkpoint", it, "cut_tail", 10));

    all.push(forged("there is nothing", [], "emptied", None));
    all.push(forged(
        "all but the first line is taken out",
        lines().into_iter().take(1),
        "emptied",
        None,
    ));
    let mut it = lines();
    it.drain(1..13);
    all.push(forged("all records are taken out", it, "emptied", None));

    let mut it = forged("an older export", lines_of(&Trail::of(9).export()), "rollback", 10);
    it.earlier = vec![trail.checkpoint(12)];
    all.push(it);
    let mut other = Trail::of(7);
    other.append(Entry::Key(KeyNamed::first(&audit_key(1))));
    other.grow(SIZE);
    let mut it = forged("another history", lines_of(&other.export()), "split_view", 9);
    it.earlier = vec![trail.checkpoint(6), trail.checkpoint(9)];
    all.push(it);
    let mut it = forged("another history of one size", lines_of(&other.export()), "split_view", 12);
    it.earlier = vec![trail.checkpoint(12)];
    all.push(it);
    let hidden = trail.export_of(1, SIZE, &[], |seq| !(5..=10).contains(&seq));
    let mut it = forged("what is to be compared is hidden", lines_of(&hidden), "not_comparable", 7);
    it.earlier = vec![trail.checkpoint(7)];
    all.push(it);
    all
}

fn signatures() -> Vec<Forgery> {
    let mut all = Vec::new();
    let trail = Trail::of(SIZE);
    let last = |note: &str| changed(&sealed(note), "}", ",\"keys\":[]}");
    let with = |name, seal: String, kind, record: Option<u64>| {
        let mut it = lines();
        it[13] = seal;
        forged(name, it, kind, record)
    };
    let other = trail.head(SIZE).sign(&audit_signer(9)).unwrap();
    all.push(with("signed by another key", last(&other), "wrong_key", Some(12)));
    let elsewhere = Checkpoint { origin: "kya.other/audit".to_owned(), ..trail.head(SIZE) };
    let elsewhere = elsewhere.sign(&audit_signer(1)).unwrap();
    all.push(with("a checkpoint of another trail", last(&elsewhere), "wrong_key", Some(12)));
    let line = lines()[13].clone();
    let time = changed(&line, "time 2026", "time 2027");
    all.push(with("the time of the checkpoint is changed", time, "bad_signature", Some(12)));
    let size = changed(&line, "\\n12\\n", "\\n13\\n");
    all.push(with("the size of the checkpoint is changed", size, "bad_signature", Some(13)));
    let none = changed(&line, "\u{2014} ", "- ");
    all.push(with("the signature is no signature", none, "malformed", None));

    // The attacker's key names itself as the one that follows.
    let mut it = Trail::of(6);
    it.append(Entry::Key(KeyNamed::following(&audit_key(9), &audit_key(1), &audit_signer(9))));
    it.signers.push((7, 9));
    it.grow(SIZE);
    all.push(forged("a key names itself", lines_of(&it.export()), "bad_key_change", 7));
    let mut it = Trail::of(6);
    it.change_key(2);
    it.grow(SIZE);
    let mut old = lines_of(&it.export());
    old[13] = last(&it.head(SIZE).sign(&audit_signer(1)).unwrap());
    all.push(forged("signed by a key that was replaced", old, "wrong_key", Some(12)));
    let hidden = it.export_of(1, SIZE, &[], |seq| seq != 7);
    all.push(forged(
        "the record that names the key is hidden",
        lines_of(&hidden),
        "wrong_key",
        Some(12),
    ));
    all
}

fn forms() -> Vec<Forgery> {
    let mut all = Vec::new();
    let trail = Trail::of(SIZE);
    let with = |name, at: usize, from: &str, to: &str, kind, record: Option<u64>| {
        let mut it = lines();
        it[at] = changed(&it[at], from, to);
        forged(name, it, kind, record)
    };
    all.push(with("a line is cut off", 5, "}}", "", "malformed", Some(5)));
    all.push(with("another version", 0, "\"version\":1", "\"version\":2", "malformed", None));
    all.push(with("another origin", 0, ORIGIN, "kya.other/audit", "malformed", None));
    all.push(with(
        "another beginning",
        0,
        "\"previous\":\"0",
        "\"previous\":\"1",
        "malformed",
        None,
    ));
    all.push(with("another first record", 0, "\"first\":1", "\"first\":3", "malformed", None));
    all.push(with("an earlier end", 0, "\"last\":12", "\"last\":11", "malformed", None));
    all.push(with("a later end", 0, "\"last\":12", "\"last\":14", "cut_tail", Some(13)));
    let mut it = lines();
    it.insert(6, String::new());
    all.push(forged("a line is empty", it, "malformed", 6));
    let mut it = lines();
    it.insert(6, it[0].clone());
    all.push(forged("a second first line", it, "malformed", 6));
    let mut it = lines();
    it.remove(0);
    all.push(forged("no first line", it, "malformed", None));
    let mut it = lines();
    it.push("{}".to_owned());
    all.push(forged("something after the end", it, "malformed", None));
    let mut it = forged("bytes that are no text", lines(), "malformed", 3);
    let at = String::from_utf8(it.file.clone()).unwrap().find("\"seq\":3").unwrap();
    it.file[at + 1] = 0xff;
    all.push(it);
    let mut it = lines();
    it[6] = format!("{{\"hash\":\"{}", "0".repeat(crate::audit::export::MAX_LINE_BYTES));
    all.push(forged("a line is too long", it, "malformed", 6));

    let hidden = lines_of(&trail.export_of(3, SIZE, &[], |seq| !(5..=8).contains(&seq)));
    let with = |name, at: usize, from: &str, to: &str, kind, record: Option<u64>| {
        let mut it = hidden.clone();
        it[at] = changed(&it[at], from, to);
        forged(name, it, kind, record)
    };
    // Line 2 hides record 2, line 5 hides 5 to 8.
    all.push(with("fewer are hidden", 5, "\"last\":8", "\"last\":7", "malformed", Some(5)));
    all.push(with("others are hidden", 5, "\"first\":5", "\"first\":6", "malformed", Some(5)));
    let cover = hidden[5].split('"').nth(9).unwrap().to_owned();
    let other = trail.head(3).root.to_string();
    all.push(with("the cover is changed", 5, &cover, &other, "rewritten", Some(1)));
    let hash = trail.record(8).1.to_string();
    let other = trail.record(7).1.to_string();
    all.push(with("the hash of what is hidden is changed", 5, &hash, &other, "edited", Some(9)));
    let hash = trail.record(2).1.to_string();
    all.push(with("the hash before is changed", 0, &hash, &other, "malformed", None));
    let mut it = hidden.clone();
    it.remove(5);
    all.push(forged("what is hidden is taken out", it, "removed", 5));
    all
}

fn sealed(note: &str) -> String {
    let note = serde_json::Value::from(note);
    serde_json::json!({ "checkpoint": note }).to_string()
}
