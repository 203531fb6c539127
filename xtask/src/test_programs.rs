//! Test programs of many files: a file that `tests/main.rs` does not name is in none of them,
//! and nobody would see that its tests are not run.

/// The files beside a `tests/main.rs` that it does not name, a line each.
pub(crate) fn left_out<'a>(main: &str, text: &str, listed: &[&'a str]) -> Vec<String> {
    let folder = main.strip_suffix("main.rs").unwrap_or(main);
    let named = |name: &str| {
        let declared = format!("mod {name};");
        text.lines().any(|line| line == declared)
    };
    let beside = |path: &&'a str| {
        let name = path.strip_prefix(folder)?;
        match name.split_once('/') {
            Some((name, "mod.rs")) => Some(name),
            Some(_) => None,
            None => name.strip_suffix(".rs").filter(|name| *name != "main"),
        }
    };
    let names = listed.iter().filter_map(beside).filter(|name| !named(name));
    names
        .map(|name| format!("{main}: `mod {name};` is missing, so its tests are not run"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_in_no_program_is_found() {
        let listed = [
            "a/tests/main.rs",
            "a/tests/one.rs",
            "a/tests/two.rs",
            "a/tests/support/mod.rs",
            "a/tests/support/part.rs",
            "a/tests/two.py",
            "b/tests/three.rs",
            "a/src/four.rs",
        ];
        let text = "//! All.\n\nmod one;\nmod support;\n";
        let found = left_out("a/tests/main.rs", text, &listed);
        assert_eq!(found, ["a/tests/main.rs: `mod two;` is missing, so its tests are not run"]);
        let text = format!("{text}mod two;\n");
        assert_eq!(left_out("a/tests/main.rs", &text, &listed), Vec::<String>::new());
    }
}
