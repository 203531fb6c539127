//! Links within the documentation: to files that are there, and to headings that these have.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

/// What pages of the tree link to and it does not have.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// The anchors of the pages that were read, by path.
    anchors: HashMap<String, BTreeSet<String>>,
}

impl Links {
    /// Looks at every relative link of `text`, the page at `path`, and says a line for each
    /// that leads nowhere.
    pub(crate) fn dead(&mut self, root: &Path, path: &str, text: &str) -> Vec<String> {
        let mut dead = Vec::new();
        for (number, line) in prose(text) {
            for (file, anchor) in targets(line) {
                let Some(target) = within(path, file) else {
                    dead.push(format!("{path}:{number}: a link out of the tree: {file}"));
                    continue;
                };
                if !root.join(&target).exists() {
                    dead.push(format!("{path}:{number}: a link to nothing: {file}"));
                } else if anchor.is_some_and(|it| !self.has(root, &target, it)) {
                    let anchor = anchor.unwrap_or_default();
                    dead.push(format!("{path}:{number}: {target} has no heading #{anchor}"));
                }
            }
        }
        dead
    }

    fn has(&mut self, root: &Path, page: &str, anchor: &str) -> bool {
        let read = || anchors(&fs::read_to_string(root.join(page)).unwrap_or_default());
        self.anchors.entry(page.to_owned()).or_insert_with(read).contains(anchor)
    }
}

/// The lines that are no code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((index + 1, line))
    })
}

/// The files that a line links to, empty for its own, and the anchors in them.
fn targets(line: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', ' ']).next()?;
        let is_here = !target.is_empty() && !target.contains("://") && !target.contains("mailto:");
        let (file, anchor) =
            target.split_once('#').map_or((target, None), |(file, it)| (file, Some(it)));
        is_here.then_some((file, anchor))
    })
}

/// The path from the root of what the page at `path` calls `file`; `None` if that is not
/// within the root.
fn within(path: &str, file: &str) -> Option<String> {
    if file.is_empty() {
        return Some(path.to_owned());
    }
    let mut parts: Vec<_> = path.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// What the headings of a page are called in links, as GitHub does it.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut times = BTreeMap::new();
    let titles = prose(text).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (1..=6).contains(&(line.len() - title.len())).then(|| title.strip_prefix(' ')).flatten()
    });
    titles
        .map(|title| {
            let slug = slug(title.trim());
            let before: &mut u32 = times.entry(slug.clone()).or_default();
            *before += 1;
            match *before {
                1 => slug,
                n => format!("{slug}-{}", n - 1),
            }
        })
        .collect()
}

fn slug(title: &str) -> String {
    let kept = title.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_called_as_github_does_it() {
        let text =
            "# A `kya` page: its parts\n## Parts\n```sh\n# no heading\n```\n### Parts\n#none\n";
        let expected = ["a-kya-page-its-parts", "parts", "parts-1"].map(str::to_owned);
        assert_eq!(anchors(text), BTreeSet::from(expected));
    }

    #[test]
    fn dead_links_and_dead_anchors_are_found_and_live_ones_are_not() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("docs")).unwrap();
        let page = "# Page\n## Some part\n[up](../README.md#top) [here](#some-part)\n";
        fs::write(tree.path().join("docs/page.md"), page).unwrap();
        fs::write(tree.path().join("README.md"), "# Top\n").unwrap();
        let mut links = Links::default();
        let mut dead = |path: &str, text: &str| links.dead(tree.path(), path, text);
        assert_eq!(dead("docs/page.md", page), Vec::<String>::new());
        let live = "[a](docs/page.md#some-part) [b](https://example.org/x#y) [c](docs/)\n";
        assert_eq!(dead("README.md", live), Vec::<String>::new());
        let code = "```\n[a](gone.md)\n```\n";
        assert_eq!(dead("README.md", code), Vec::<String>::new());
        let text = "# Top\n[a](gone.md) [b](docs/page.md#gone)\n[c](#gone) [d](../outside.md)\n";
        let expected = [
            "README.md:2: a link to nothing: gone.md",
            "README.md:2: docs/page.md has no heading #gone",
            "README.md:3: README.md has no heading #gone",
            "README.md:3: a link out of the tree: ../outside.md",
        ];
        assert_eq!(dead("README.md", text), expected);
    }
}
