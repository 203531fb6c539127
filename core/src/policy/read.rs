//! Reading a policy as people write it: bounded, and with the place of what is wrong.

use serde_saphyr::options::MergeKeyPolicy;
use thiserror::Error;

use super::check::{MAX_DOCUMENT_BYTES, PolicyProblems};
use super::document::PolicyDocument;

/// How deep a document may be nested. A policy is nested two deep.
const MAX_DEPTH: usize = 8;
/// How much of what a reader says is shown.
const SHOWN: usize = 400;

/// In which language a policy is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyFormat {
    /// JSON (RFC 8259).
    Json,
    /// YAML 1.2, without anchors, aliases and merges.
    Yaml,
}

/// Why a text is no policy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyTextError {
    /// It is longer than any policy is read.
    #[error("the policy has {0} bytes, and at most {MAX_DOCUMENT_BYTES} are read")]
    TooLong(usize),
    /// It is not in its language, or has other fields than a policy; with the place.
    #[error("the policy cannot be read: {0}")]
    Unreadable(String),
    /// It has fields that are not what they must be.
    #[error(transparent)]
    Invalid(#[from] PolicyProblems),
}

/// Reads a policy, and checks nothing of it but its shape.
///
/// # Errors
/// [`PolicyTextError::TooLong`] and [`PolicyTextError::Unreadable`].
pub fn read(text: &[u8], format: PolicyFormat) -> Result<PolicyDocument, PolicyTextError> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(PolicyTextError::TooLong(text.len()));
    }
    let unreadable = |error: String| {
        // Whoever reads YAML shows the lines around the place; the first line says it.
        let first = error.lines().next().unwrap_or_default();
        PolicyTextError::Unreadable(first.chars().take(SHOWN).collect())
    };
    match format {
        PolicyFormat::Json => {
            serde_json::from_slice(text).map_err(|error| unreadable(error.to_string()))
        }
        PolicyFormat::Yaml => {
            let text = std::str::from_utf8(text).map_err(|error| unreadable(error.to_string()))?;
            let options = serde_saphyr::options! {
                budget: serde_saphyr::budget! {
                    max_aliases: 0,
                    max_anchors: 0,
                    max_documents: 1,
                    max_depth: MAX_DEPTH,
                },
                merge_keys: MergeKeyPolicy::Error,
            };
            serde_saphyr::from_str_with_options(text, options)
                .map_err(|error| unreadable(error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(text: &str) -> Result<PolicyDocument, String> {
        read(text.as_bytes(), PolicyFormat::Yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn yaml_and_json_are_read_as_the_same() {
        let json = br#"{"name": "p", "allow": ["pay", "read_*"]}"#;
        let read = read(json, PolicyFormat::Json).unwrap();
        assert_eq!(yaml("name: p\nallow:\n- pay\n- 'read_*'\n"), Ok(read.clone()));
        assert_eq!(yaml(std::str::from_utf8(json).unwrap()), Ok(read));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_place() {
        for (text, part) in [
            ("name: p\nallow: [pay\n", "line"),
            ("name: p\nnever: [pay]\n", "never"),
            ("name: p\nname: q\n", "name"),
            ("name: &a p\ndescription: *a\n", ""),
            ("name: p\n<<: {allow: [pay]}\n", ""),
            ("name: p\n---\nname: q\n", ""),
            ("- name\n", ""),
            ("", ""),
            ("name: [[[[[[[[[[[[p]]]]]]]]]]]]\n", ""),
            ("name: p\nallow: null\n", "line 2"),
        ] {
            let refused = yaml(text).unwrap_err();
            assert!(refused.starts_with("the policy cannot be read: "), "{text:?}: {refused}");
            assert!(refused.contains(part) && refused.len() > 30, "{text:?}: {refused}");
            assert!(!refused.contains('\n'), "{refused:?}");
        }
        for json in [&b"{\"name\": \"p\""[..], b"[]", b"\xff", b"{\"name\": \"p\"} {}"] {
            let refused = read(json, PolicyFormat::Json).unwrap_err();
            assert!(matches!(refused, PolicyTextError::Unreadable(_)), "{refused}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for format in [PolicyFormat::Json, PolicyFormat::Yaml] {
            assert!(read(deep.as_bytes(), format).is_err());
            let long = vec![b' '; MAX_DOCUMENT_BYTES + 1];
            let refused = read(&long, format).unwrap_err();
            assert_eq!(refused, PolicyTextError::TooLong(MAX_DOCUMENT_BYTES + 1));
            assert!(read(b"\xff\xfe", format).is_err());
        }
    }
}
