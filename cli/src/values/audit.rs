//! Values of `kya audit`.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use kya_core::audit::{MAX_NOTE_BYTES, SignedCheckpoint, Timestamp, VerifierKey};

use super::{parse_plain, parse_time};

/// An instant of the trail: as in RFC 3339, or how long ago it was.
pub(crate) fn parse_moment(text: &str) -> Result<Timestamp, String> {
    const FORM: &str = "write it like 2026-02-05T14:00:00Z, or how long ago it was, like 2h";
    let micros = match humantime::parse_duration(text) {
        Ok(ago) => i64::try_from(ago.as_micros())
            .ok()
            .and_then(|ago| jiff::Timestamp::now().as_microsecond().checked_sub(ago)),
        Err(_) => {
            let at = text.parse::<jiff::Timestamp>().map_err(|_| FORM.to_owned())?;
            Some(at.as_microsecond())
        }
    };
    let micros = micros.and_then(|it| u64::try_from(it).ok());
    micros.map(Timestamp).ok_or_else(|| format!("that was before 1970; {FORM}"))
}

/// How long after a kill something may still be allowed.
pub(crate) fn parse_bound(text: &str) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let bound = parse_time(text)?;
    if bound > DAY { Err("at most 24h".to_owned()) } else { Ok(bound) }
}

/// The name of an act, such as `agent.revoked`.
pub(crate) fn parse_act(text: &str) -> Result<String, String> {
    let act = parse_plain(text, 64, b"_.")?;
    match act.contains('.') && act.split('.').all(|part| !part.is_empty()) {
        true => Ok(act),
        false => Err("the name of an act is written like agent.revoked".to_owned()),
    }
}

/// The id of a key that signs checkpoints.
pub(crate) fn parse_key_id(text: &str) -> Result<String, String> {
    let digit = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
    match text.len() == 8 && text.bytes().all(digit) {
        true => Ok(text.to_owned()),
        false => Err("the id of a key is 8 hexadecimal digits, the middle part of it".to_owned()),
    }
}

/// The id of a kill.
pub(crate) fn parse_kill(text: &str) -> Result<String, String> {
    let id = text.parse::<kya_core::KillId>().map_err(|error| error.to_string())?;
    Ok(id.to_string())
}

/// A file with a signed checkpoint. Who signed it is looked at with the trail.
pub(crate) fn parse_checkpoint(path: &str) -> Result<SignedCheckpoint, String> {
    let file = File::open(path).map_err(|error| format!("the file cannot be read: {error}"))?;
    let mut note = String::new();
    let read = file.take(MAX_NOTE_BYTES as u64 + 1).read_to_string(&mut note);
    read.map_err(|error| format!("the file cannot be read: {error}"))?;
    SignedCheckpoint::parse(&note).map_err(|error| format!("in the file: {error}"))
}

/// A key that signs checkpoints of the trail, or a file that holds one.
pub(crate) fn parse_audit_key(text: &str) -> Result<VerifierKey, String> {
    const MOST: u64 = 4096;
    let error = match text.trim().parse::<VerifierKey>() {
        Ok(key) => return Ok(key),
        Err(error) => error,
    };
    let file = match File::open(text) {
        Ok(file) => file,
        Err(_) if text.contains('+') => return Err(error.to_string()),
        Err(file) => return Err(format!("{error}; nor is it a file that can be read ({file})")),
    };
    let mut content = String::new();
    let read = file.take(MOST).read_to_string(&mut content);
    read.map_err(|error| format!("the file cannot be read: {error}"))?;
    content.trim().parse().map_err(|error| format!("in the file: {error}"))
}

#[cfg(test)]
mod tests {
    use kya_core::Signer;

    use super::*;

    #[test]
    fn a_moment_is_an_instant_or_how_long_ago_it_was() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-02-05T14:00:00Z", 1_770_300_000_000_000),
            ("2026-02-05T15:00:00.000250+01:00", 1_770_300_000_000_250),
        ] {
            assert_eq!(parse_moment(text), Ok(Timestamp(micros)), "{text}");
        }
        let now = || u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap();
        let before = now();
        let ago = parse_moment("2h").unwrap().0 + 7_200_000_000;
        assert!((before..=now()).contains(&ago));
        for bad in ["", "yesterday", "2026-02-05", "14:00", "2026-02-05T14:00:00", "5", "-2h"] {
            assert!(parse_moment(bad).unwrap_err().contains("like 2026-02-05T14:00:00Z"), "{bad}");
        }
        for bad in ["1969-12-31T23:59:59Z", "100years", "10000000000years"] {
            assert!(parse_moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_act_and_a_bound_say_what_is_wrong_with_them() {
        assert_eq!(
            parse_act("capability_token.revoked").as_deref(),
            Ok("capability_token.revoked")
        );
        for bad in ["", "revoked", "agent.", ".revoked", "agent..revoked", "Agent.revoked", "a b.c"]
        {
            assert!(parse_act(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_bound("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_bound("50ms"), Ok(Duration::from_millis(50)));
        assert!(parse_bound("25h").unwrap_err().contains("at most 24h"));
    }

    #[test]
    fn a_checkpoint_is_read_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.checkpoint");
        let file = path.to_str().unwrap();
        let hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let zeros = "0".repeat(64);
        let body =
            format!("kya.test/audit\n0\n{hash}\nchain {zeros}\ntime 2026-02-05T14:00:00.000000Z\n");
        let signed = |text: &str| {
            kya_core::audit::Note::sign(text, "kya.test/audit", &Signer::from_seed([7; 32]))
                .unwrap()
        };
        std::fs::write(&path, signed(&body)).unwrap();
        assert_eq!(parse_checkpoint(file).unwrap().unverified().size, 0);
        for (content, part) in [
            (signed("something else\n"), "in the file: not a checkpoint"),
            (String::new(), "in the file: not a signed note"),
            ("x".repeat(1 << 20), "in the file: more than"),
        ] {
            std::fs::write(&path, content).unwrap();
            let reason = parse_checkpoint(file).unwrap_err();
            assert!(reason.contains(part), "{reason}");
        }
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        for path in [file, "", "/nonexistent/kya"] {
            assert!(parse_checkpoint(path).unwrap_err().contains("the file cannot be read"));
        }
    }

    #[test]
    fn a_key_is_read_as_text_and_from_a_file() {
        let key = Signer::from_seed([7; 32]).public_key();
        let key = VerifierKey::new("kya.test/audit", key).unwrap();
        let text = key.to_string();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.pub");
        let file = path.to_str().unwrap();
        std::fs::write(&path, format!("{text}\n")).unwrap();
        assert_eq!(parse_audit_key(&text), Ok(key.clone()));
        assert_eq!(parse_audit_key(file), Ok(key));
        std::fs::write(&path, "something else").unwrap();
        for (bad, part) in [
            (file, "in the file: a verifier key is written `name+id+base64`"),
            ("/nonexistent/audit.pub", "nor is it a file that can be read"),
            ("", "nor is it a file"),
            (&text.replacen("kya.test", "kya.best", 1), "the id is not that of this name and key"),
        ] {
            let reason = parse_audit_key(bad).unwrap_err();
            assert!(reason.contains(part), "{reason:?} of {bad:?} does not say {part:?}");
        }
    }
}
