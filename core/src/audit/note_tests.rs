use super::*;

/// The example of the documentation of Go's `golang.org/x/mod/sumdb/note`, whose format
/// C2SP signed-note is.
const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PRIVATE: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n";
const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\
    \n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn key() -> VerifierKey {
    KEY.parse().unwrap()
}

#[test]
fn the_published_example_verifies_and_is_made_again_byte_for_byte() {
    let note = Note::parse(NOTE).unwrap();
    assert_eq!(note.text(), TEXT);
    assert_eq!(key().to_string(), KEY);
    assert!(note.is_signed_by(&key()));

    let seed = BASE64.decode(PRIVATE).unwrap();
    let signer = Signer::from_seed(seed[1..].try_into().unwrap());
    assert_eq!(Note::sign(TEXT, "PeterNeumann", &signer).unwrap(), NOTE);
}

#[test]
fn a_changed_note_does_not_verify() {
    for at in (0..NOTE.len()).filter(|at| NOTE.as_bytes()[*at].is_ascii_alphanumeric()) {
        let mut bytes = NOTE.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        let verifies = Note::parse(&changed).is_ok_and(|it| it.is_signed_by(&key()));
        assert!(!verifies, "{changed}");
    }
}

#[test]
fn signatures_of_others_are_kept_and_do_not_count() {
    let other = "\u{2014} EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";
    let note = Note::parse(&format!("{NOTE}{other}")).unwrap();
    assert!(note.is_signed_by(&key()));
    assert_eq!(note.signers().map(|it| it.0).collect::<Vec<_>>(), ["PeterNeumann", "EnochRoot"]);

    // A second signature of the same key that is wrong spoils the first.
    let (head, line) = NOTE.split_at(NOTE.find('\u{2014}').unwrap());
    let wrong = line.replacen("JkuB", "JkuA", 1);
    assert!(!Note::parse(&format!("{head}{line}{wrong}")).unwrap().is_signed_by(&key()));
}

#[test]
fn what_is_no_note_is_refused() {
    let many = NOTE.lines().last().unwrap().to_owned() + "\n";
    for text in [
        "",
        "\n\n",
        TEXT,
        NOTE.trim_end(),
        &NOTE.replace("\u{2014} ", "- "),
        &NOTE.replace("\n\n", "\n"),
        &NOTE.replace("think", "th\tink"),
        &NOTE.replace("think", "th\u{9b}2Jink"),
        &NOTE.replace(" x08g", " x08"),
        &NOTE.replace("PeterNeumann ", "Peter+Neumann "),
        &NOTE.replace("PeterNeumann ", " "),
        &format!("{NOTE}\n"),
        &format!("{NOTE}more\n"),
    ] {
        assert_eq!(Note::parse(text), Err(BadNote::Form), "{text}");
    }
    assert_eq!(Note::parse(&(NOTE.to_owned() + &many.repeat(32))), Err(BadNote::TooLong));
    assert_eq!(Note::parse(&"a".repeat(MAX_NOTE_BYTES + 1)), Err(BadNote::TooLong));
}

#[test]
fn what_is_no_verifier_key_is_refused_with_the_reason() {
    for (text, error) in [
        ("", BadVerifierKey::Form),
        ("PeterNeumann", BadVerifierKey::Form),
        ("PeterNeumann+c74f20a3", BadVerifierKey::Form),
        (&KEY.replace("c74f20a3", "C74F20A3"), BadVerifierKey::Form),
        (&KEY.replace("c74f20a3", "c74f20a4"), BadVerifierKey::Id),
        (&KEY.replace("Peter", "Paul"), BadVerifierKey::Id),
        (&KEY.replace("+ARpc", "+AhpC"), BadVerifierKey::Key),
        (&KEY.replace("10TW", ""), BadVerifierKey::Key),
        (&KEY.replace("Peter", "Peter "), BadVerifierKey::Name),
        (&KEY.replace("PeterNeumann", ""), BadVerifierKey::Name),
    ] {
        assert_eq!(text.parse::<VerifierKey>(), Err(error), "{text}");
    }
}
