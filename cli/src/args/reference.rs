//! `docs/commands.md`: every command with its options, from what the parser knows.

use clap::{Arg, Command, CommandFactory};

use super::Cli;
use crate::error::EXIT_CODES;

const HEAD: &str = "\
# Commands

Every command of `kya`, from what the program itself says
(`cargo run -q -p kya-cli --example commands > docs/commands.md` writes this page anew).
`kya COMMAND --help` says the same. Which command to use when:
[ways to stop](operations.md#ways-to-stop).
";

/// The page.
pub(crate) fn reference() -> String {
    let mut all = Cli::command();
    all.build();
    let mut page = vec![HEAD.to_owned()];
    page.push("## Exit codes\n\n| code | says |\n|---|---|".to_owned());
    page.extend(EXIT_CODES.map(|(code, says)| format!("| {code} | {} |", cell(says))));
    page.push("\n## Options of every command\n".to_owned());
    page.extend(table(all.get_arguments().filter(|arg| arg.is_global_set())));
    for command in commands(&all) {
        section(&mut page, command);
    }
    let lines = page.iter().flat_map(|text| text.split('\n')).map(str::trim_end);
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// The commands below this one, without `help`.
fn commands(of: &Command) -> impl Iterator<Item = &Command> {
    of.get_subcommands().filter(|command| command.get_name() != "help")
}

/// A command and all below it.
fn section(page: &mut Vec<String>, command: &Command) {
    let name = command.get_bin_name().unwrap_or_default();
    // Some do something by themselves, too.
    let leaf = commands(command).next().is_none() || !command.is_subcommand_required_set();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let depth = if name.matches(' ').count() > 1 { "###" } else { "##" };
    page.push(format!("\n{depth} `{name}`\n\n{about}."));
    if leaf {
        let usage = command.clone().render_usage().to_string();
        let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage);
        page.push(format!("\n```text\n{}\n```\n", usage.trim()));
        page.extend(table(command.get_arguments().filter(|arg| !arg.is_global_set())));
        if let Some(more) = command.get_after_help() {
            page.push(format!("\n```text\n{}\n```", more.to_string().trim()));
        }
    }
    for below in commands(command) {
        section(page, below);
    }
}

/// Arguments, one a row; nothing, if there is none.
fn table<'a>(arguments: impl Iterator<Item = &'a Arg>) -> Option<String> {
    let rows: Vec<_> = arguments
        .filter(|arg| arg.get_id() != "help" && arg.get_id() != "version")
        .map(row)
        .collect();
    let head = "| argument | says |\n|---|---|\n";
    (!rows.is_empty()).then(|| format!("{head}{}", rows.join("\n")))
}

fn row(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let mut says = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let values = arg.get_possible_values();
    if arg.get_action().takes_values() {
        let names =
            |it: &[_]| it.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let possible: Vec<_> = values.iter().map(|value| value.get_name().to_owned()).collect();
        let default: Vec<_> =
            arg.get_default_values().iter().map(|value| value.display().to_string()).collect();
        for (what, list) in [("one of", possible), ("by default", default)] {
            if !list.is_empty() {
                says.push_str(&format!("; {what} {}", names(&list)));
            }
        }
    }
    if let Some(variable) = arg.get_env() {
        says.push_str(&format!("; the variable `{}` says it too", variable.display()));
    }
    format!("| {} | {} |", written(arg), cell(&says))
}

/// `` `-o`, `--output <FORM>` ``
fn written(arg: &Arg) -> String {
    let names: Vec<_> =
        arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let value = match arg.get_action().takes_values() {
        true => names.iter().map(|name| format!(" <{name}>")).collect(),
        false => String::new(),
    };
    let text = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("`-{short}`, `--{long}{value}`"),
        (None, Some(long)) => format!("`--{long}{value}`"),
        (Some(short), None) => format!("`-{short}{value}`"),
        (None, None) => format!("`{}`", value.trim()),
    };
    cell(&text)
}

/// As it stands in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

    fn page(path: &str) -> String {
        std::fs::read_to_string(format!("{ROOT}/{path}")).unwrap()
    }

    /// Every command that does something, as it is written after `kya`.
    fn leaves(of: &Command, above: &str) -> BTreeSet<String> {
        let of_one = |command: &Command| {
            let name = format!("{above}{}", command.get_name());
            // What does something by itself is named, and not what is below it.
            match commands(command).next().filter(|_| command.is_subcommand_required_set()) {
                Some(_) => leaves(command, &format!("{name} ")),
                None => BTreeSet::from([name]),
            }
        };
        commands(of).flat_map(of_one).collect()
    }

    fn leaf<'a>(all: &'a Command, written: &str) -> &'a Command {
        written.split(' ').fold(all, |command, name| command.find_subcommand(name).unwrap())
    }

    #[test]
    fn the_page_of_commands_is_what_the_program_says() {
        assert!(
            page("docs/commands.md") == reference(),
            "docs/commands.md is not up to date: cargo run -q -p kya-cli --example commands > docs/commands.md"
        );
    }

    /// The code spans of the first column of README's table. After a whole command, its
    /// siblings are named alone.
    #[test]
    fn the_readme_names_every_command_and_no_other_and_only_options_that_there_are() {
        let mut all = Cli::command();
        all.build();
        let (every, mut named) = (leaves(&all, ""), BTreeSet::new());
        let readme = page("README.md");
        let table = readme.split("| `kya` | does |").nth(1).unwrap().split("\n\n").next().unwrap();
        for row in table.lines().filter(|row| row.starts_with("| `")) {
            let mut group = String::new();
            for span in row.split(" | ").next().unwrap().split('`').skip(1).step_by(2) {
                let words: Vec<_> = span.split(' ').collect();
                let mut at = &all;
                let path = words.iter().map_while(|word| {
                    at = at.find_subcommand(word)?;
                    Some(*word)
                });
                let path: Vec<_> = path.collect();
                let written = match path.split_last() {
                    Some((_, [])) => path.concat(),
                    Some((last, above)) => {
                        group = format!("{} ", above.join(" "));
                        format!("{group}{last}")
                    }
                    None => format!("{group}{}", words[0]),
                };
                assert!(every.contains(&written), "README: there is no `kya {written}` ({row})");
                let mut options = words.iter().filter_map(|word| word.strip_prefix("--"));
                let known = |it: &str| {
                    leaf(&all, &written).get_arguments().any(|arg| arg.get_long() == Some(it))
                };
                assert!(options.all(known), "README: `{span}` has an option that there is not");
                named.insert(written);
            }
        }
        let missing: Vec<_> = every.difference(&named).collect();
        assert!(missing.is_empty(), "README's table does not name {missing:?}");
    }

    #[test]
    fn the_readme_says_every_exit_code() {
        let readme = page("README.md").replace('\n', " ");
        let said = readme.split("Exit codes: ").nth(1).unwrap().split(". ").next().unwrap();
        let said: Vec<u8> =
            said.split(", ").filter_map(|part| part.split(' ').next()?.parse().ok()).collect();
        assert_eq!(said, EXIT_CODES.map(|(code, _)| code));
    }
}
