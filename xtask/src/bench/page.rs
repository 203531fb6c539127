//! Pages that hold what was measured, so that nobody types a figure.

use anyhow::{Context as _, Result, ensure};

/// The page with `text` between its two marks of this name.
pub(super) fn filled(page: &str, name: &str, text: &str) -> Result<String> {
    let (begin, end) = marks(name);
    let has_both = page.matches(&begin).count() == 1 && page.matches(&end).count() == 1;
    ensure!(has_both, "the page has no two marks `{}`", begin.trim_end());
    let (before, rest) = page.split_once(&begin).context("no beginning")?;
    let (_, after) = rest.split_once(&end).context("no end")?;
    Ok(format!("{before}{begin}{text}{end}{after}"))
}

fn marks(name: &str) -> (String, String) {
    (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_filled_between_its_marks_again_and_again() {
        let (begin, end) = marks("figures");
        let page = format!("before\n{begin}not measured\n{end}after\n");
        let once = filled(&page, "figures", "first\n").unwrap();
        assert_eq!(once, format!("before\n{begin}first\n{end}after\n"));
        let twice = filled(&once, "figures", "second\n").unwrap();
        assert_eq!(twice, format!("before\n{begin}second\n{end}after\n"));
    }

    #[test]
    fn a_page_without_the_marks_or_with_two_of_them_is_refused() {
        let (begin, end) = marks("figures");
        let once = format!("{begin}{end}");
        for page in ["no marks".to_owned(), begin.clone(), once.repeat(2)] {
            assert!(filled(&page, "figures", "x").is_err(), "{page}");
        }
        assert!(filled(&once, "others", "x").is_err());
    }
}
