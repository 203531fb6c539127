//! Any rules, and any request.

use proptest::prelude::*;

use super::*;

/// Whether a template stands for a path, by the plainest reading.
fn stands_for(route: &Route, path: &str) -> bool {
    let segments: Vec<_> = path[1..].split('/').collect();
    let is_rest = route.segments.last() == Some(&Segment::Rest);
    if segments.len() < route.segments.len() || segments.len() > route.segments.len() && !is_rest {
        return false;
    }
    route.segments.iter().zip(segments).all(|(template, segment)| match template {
        Segment::Literal(literal) => literal == segment,
        Segment::Any => !segment.is_empty(),
        Segment::Verb(verb) => segment.ends_with(&format!(":{verb}")),
        Segment::Rest => !segment.is_empty(),
    })
}

fn small_rules() -> impl Strategy<Value = Vec<(Route, ActionName)>> {
    let segment = prop_oneof![
        4 => Just("a"), 3 => Just("b"), 1 => Just("c.d"), 4 => Just("{}"), 1 => Just("{}:v"),
    ];
    let end = prop_oneof![5 => Just(""), 1 => Just("/"), 1 => Just("/{r=**}")];
    let method = prop::sample::select(vec!["GET", "PUT"]);
    let rule = (method, prop::collection::vec(segment, 1..4), end);
    prop::collection::vec(rule, 0..6).prop_map(|rules| {
        let mut routes = Vec::new();
        for (index, (method, segments, end)) in rules.into_iter().enumerate() {
            let named = segments
                .iter()
                .enumerate()
                .map(|(at, text)| text.replace("{}", &format!("{{p{at}}}")));
            let path = format!("/{}{end}", named.collect::<Vec<_>>().join("/"));
            let route = Route::http(method, &path).unwrap();
            let action: ActionName = format!("action_{index}").parse().unwrap();
            // Whatever does not go with the others is left out.
            routes.push((route, action));
            if ActionMap::new(routes.clone()).is_err() {
                routes.pop();
            }
        }
        routes
    })
}

fn small_target() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec![
        "a", "b", "A", "x", "c.d", "c", "a.json", "x:v", "a:v", "x:w", "", ".", "..", "%61", "%2F",
        "%C3%A9", "a;b", "x%3Av", "a?b",
    ]);
    prop::collection::vec(segment, 0..5).prop_map(|segments| format!("/{}", segments.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn the_action_is_that_of_the_most_precise_rule_or_none(
        rules in small_rules(),
        target in small_target(),
        method in prop::sample::select(vec!["GET", "PUT"]),
    ) {
        let map = ActionMap::new(rules.clone()).unwrap();
        let Some(action) = named(&map, method, &target) else { return Ok(()) };
        let path = target.split('?').next().unwrap();
        let about: Vec<_> = rules
            .iter()
            .filter(|(route, _)| route.method == method && stands_for(route, path))
            .collect();
        let (found, _) = about.iter().find(|(_, name)| name.as_str() == action).unwrap();
        for (other, _) in &about {
            prop_assert!(found.is_narrower(other), "{} before {}", other, found);
        }
    }

    #[test]
    fn a_path_of_literals_alone_is_always_found(rules in small_rules()) {
        let map = ActionMap::new(rules.clone()).unwrap();
        for (route, action) in &rules {
            let text = route.to_string();
            let (method, path) = text.split_once(' ').unwrap();
            if !path.contains('{') {
                prop_assert_eq!(named(&map, method, path), Some(action.as_str()));
            }
        }
    }

    #[test]
    fn the_order_of_the_rules_decides_nothing(
        rules in small_rules(),
        targets in prop::collection::vec(small_target(), 16),
    ) {
        let map = ActionMap::new(rules.clone()).unwrap();
        let turned = ActionMap::new(rules.into_iter().rev().collect()).unwrap();
        for target in targets {
            prop_assert_eq!(named(&map, "GET", &target), named(&turned, "GET", &target));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(method: Vec<u8>, target: Vec<u8>) {
        let _ = payments().action(&method, &target);
        let _ = payments().action(b"GET", &[b"/objects/".as_slice(), &target].concat());
    }
}
