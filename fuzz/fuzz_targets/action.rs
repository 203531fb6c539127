//! The map of actions: a request is unmapped, or its action is that which a service
//! would carry out, however that service reads paths: with or without regard to
//! case, decoding, endings and slashes.
//!
//! An input is a line for each rule, then one for the method, then the target.
#![no_main]

use kya_core::action::{ActionMap, ActionName, Route, overrides_method};
use kya_core::exact_path;
use libfuzzer_sys::fuzz_target;

/// How a service reads a path, before and while it looks for a route.
#[derive(Debug, Clone, Copy)]
struct Habits {
    decodes: bool,
    ignores_case: bool,
    drops_ending: bool,
    drops_slash: bool,
}

/// What a segment of a rule is, the most precise first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Literal,
    Verb,
    Any,
    Rest,
}

fn part(template: &str) -> Part {
    match template {
        _ if template.ends_with("=**}") => Part::Rest,
        _ if template.contains("}:") => Part::Verb,
        _ if template.starts_with('{') => Part::Any,
        _ => Part::Literal,
    }
}

fn decode(text: &str) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((byte, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(value) if *byte == b'%' => {
                decoded.push(value);
                rest = &tail[2..];
            }
            _ => {
                decoded.push(*byte);
                rest = tail;
            }
        }
    }
    decoded
}

/// What a service with these habits takes a path for.
fn read(path: &str, habits: Habits) -> String {
    let mut text = path.to_owned();
    if habits.decodes {
        text = String::from_utf8_lossy(&decode(&text)).trim_end().to_owned();
    }
    if habits.drops_slash && text.len() > 1 {
        text = text.strip_suffix('/').unwrap_or(&text).to_owned();
    }
    if habits.drops_ending
        && let Some((before, ending)) = text.rsplit_once('.')
        && ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && !before.ends_with('/')
    {
        text = before.to_owned();
    }
    text
}

/// The action that a service carries out which has a route for each rule.
fn carried_out<'a>(
    rules: &'a [(String, ActionName)],
    method: &str,
    path: &str,
    habits: Habits,
) -> Option<&'a ActionName> {
    let path = read(path, habits);
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let same = |one: &str, two: &str| {
        let folded =
            one.to_lowercase() == two.to_lowercase() || one.to_uppercase() == two.to_uppercase();
        one == two || habits.ignores_case && folded
    };
    let matches = |rule: &str| {
        let template: Vec<&str> = rule.split_once(" /").unwrap().1.split('/').collect();
        let is_rest = template.last().is_some_and(|last| part(last) == Part::Rest);
        (segments.len() == template.len() || is_rest && segments.len() > template.len())
            && template.iter().zip(&segments).all(|(mine, theirs)| match part(mine) {
                Part::Literal => same(mine, theirs),
                Part::Verb => theirs.rsplit_once(':').is_some_and(|(id, verb)| {
                    !id.is_empty() && same(verb, mine.rsplit_once(':').unwrap().1)
                }),
                Part::Any | Part::Rest => !theirs.is_empty(),
            })
    };
    rules
        .iter()
        .filter(|(rule, _)| rule.split(' ').next() == Some(method) && matches(rule))
        .min_by_key(|(rule, _)| {
            rule.split_once(" /").unwrap().1.split('/').map(part).collect::<Vec<_>>()
        })
        .map(|(_, action)| action)
}

fuzz_target!(|input: &[u8]| {
    let _ = overrides_method(input);
    let mut lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let (Some(target), Some(method)) = (lines.pop(), lines.pop()) else { return };
    let mut rules = Vec::new();
    for (index, line) in lines.into_iter().enumerate() {
        let text = String::from_utf8_lossy(line);
        let Ok(route) = text.parse::<Route>() else { continue };
        assert_eq!(route.to_string().parse().as_ref(), Ok(&route));
        rules.push((route, format!("action_{index}").parse::<ActionName>().unwrap()));
    }
    let written: Vec<_> = rules.iter().map(|(it, name)| (it.to_string(), name.clone())).collect();
    let turned = ActionMap::new(rules.iter().cloned().rev().collect());
    let map = ActionMap::new(rules);
    assert_eq!(map.is_ok(), turned.is_ok());
    let (Ok(map), Ok(turned)) = (map, turned) else { return };
    let action = map.action(method, target);
    assert_eq!(action, turned.action(method, target));
    let Some(action) = action else { return };

    let path = exact_path(target).expect("a mapped path is exact");
    let query = String::from_utf8_lossy(&target[path.len()..]);
    assert!(!query.contains('#'));
    for parameter in query.trim_start_matches('?').split(['&', ';']) {
        let name = decode(parameter.split('=').next().unwrap());
        assert!(!name.eq_ignore_ascii_case(b"_method"), "{query}");
    }
    let method = std::str::from_utf8(method).expect("a mapped method is one of a rule");
    // Where rules themselves tell apart what a habit does not, nobody has it.
    let dots = written.iter().any(|(rule, _)| rule.contains('.'));
    let slashes = written.iter().any(|(rule, _)| rule.ends_with('/'));
    for habit in 0..16u8 {
        let has = |bit: u8| habit & bit != 0;
        let habits = Habits {
            decodes: has(1),
            ignores_case: has(2),
            drops_ending: has(4) && !dots,
            drops_slash: has(8) && !slashes,
        };
        let carried = carried_out(&written, method, path, habits);
        assert!(
            carried == Some(action) || carried.is_none(),
            "{action} is {carried:?}: {habits:?}"
        );
    }
});
