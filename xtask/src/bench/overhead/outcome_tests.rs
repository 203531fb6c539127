use super::*;

fn machine() -> Machine {
    let text = || "x".to_owned();
    Machine {
        date: text(),
        cpu: text(),
        cores: 2,
        memory_gib: 1.0,
        kernel: text(),
        load_before: 0.0,
        kya: text(),
        commit: text(),
        envoy: text(),
        redis: text(),
        rustc: text(),
        crates: vec![],
    }
}

/// What each variant adds in these measurements, in microseconds.
fn adds(name: &str) -> f64 {
    match name {
        BASE | BASE_AGAIN => 0.0,
        NOOP => 5.0,
        AUDITED => 12.0,
        CAPABILITY => 11.0,
        OPAQUE_MOST => 10.5,
        name if name.starts_with("ext_authz") => 60.0 + name.len() as f64,
        _ => 10.0,
    }
}

/// Fourteen rounds, in each of which the machine is another.
fn measured() -> Measured {
    let disturbed = |round: u32, value: f64| value + f64::from(round % 5);
    let series = |value: f64| {
        let values: Vec<f64> = (0..14).map(|round| disturbed(round, value)).collect();
        let (others_us, per_second) = (vec![0.0; 14], vec![10_000.0; 14]);
        let (p50_us, p99_us) = (values.clone(), values.clone());
        Series { cpu_us: values, others_us, per_second, p50_us, p99_us }
    };
    let mut measured = Measured { open_per_second: 5_000.0, ..Measured::default() };
    for Variant { name, upstream, latency, .. } in VARIANTS {
        measured.closed.insert((Answers::Direct, name), series(20.0 + adds(name)));
        if upstream {
            measured.closed.insert((Answers::Upstream, name), series(40.0 + adds(name)));
        }
        if latency {
            measured.open.insert(name, series(100.0 + adds(name)));
        }
    }
    for piece in &PIECES {
        for repeats in REPEATS {
            let cost = 25.0 + 0.1 * f64::from(repeats);
            let values = (0..7).map(|round| disturbed(round, cost)).collect();
            measured.pieces.insert((piece.name, repeats), values);
        }
    }
    measured
}

#[test]
fn what_the_machine_does_in_a_round_is_in_no_figure() {
    let outcome = Outcome::of(&measured(), machine(), 14, 1000, 0).unwrap();
    assert_eq!(outcome.aa_spread_us, 0.0);
    let expected = [
        ("audit_on_vs_off", 1.2),
        ("jwt_cached_vs_opaque", 1.1),
        // The one with the shortest name is the cheapest: ext_authz_rego.
        ("latency_vs_ext_authz", 0.135),
        ("opaque_vs_ext_authz", 0.135),
        ("opaque_vs_noop", 2.0),
        ("tokens_1e7_vs_1e3", 1.05),
    ];
    assert_eq!(outcome.ratios, BTreeMap::from(expected));
    for (name, [low, high]) in &outcome.intervals {
        assert_eq!([low.unwrap(), high.unwrap()], [outcome.ratios[name]; 2], "{name}");
    }
    let row = outcome.variants.iter().find(|row| row.name == OPAQUE).unwrap();
    assert_eq!(row.added_us, Estimate { value: 10.0, low: 10.0, high: 10.0 });
    for piece in &outcome.pieces {
        assert_eq!(piece.nanoseconds.value, 100.0, "{}", piece.name);
    }
    assert_eq!(outcome.meets("opaque_vs_noop"), Some(true));
    assert_eq!(outcome.meets("latency_vs_ext_authz"), Some(false));
}

#[test]
fn what_is_compared_with_nothing_is_left_out_and_said_to_be_unknown() {
    let mut measured = measured();
    let noop = measured.closed.get_mut(&(Answers::Direct, NOOP)).unwrap();
    noop.cpu_us = (0..14).map(|round| 19.0 + f64::from(round % 5)).collect();
    let outcome = Outcome::of(&measured, machine(), 14, 1000, 0).unwrap();
    assert!(!outcome.ratios.contains_key("opaque_vs_noop"));
    assert_eq!(outcome.meets("opaque_vs_noop"), None);
    assert!(super::super::report::markdown(&outcome).contains("| not known | | 2 | |"));
}

#[test]
fn a_variant_that_was_not_measured_is_an_error() {
    let mut measured = measured();
    measured.closed.remove(&(Answers::Direct, NOOP));
    let error = Outcome::of(&measured, machine(), 14, 1000, 0).unwrap_err().to_string();
    assert_eq!(error, "wasm_noop was not measured");
}

#[test]
fn the_object_that_is_printed_has_what_scripts_read() {
    let outcome = Outcome::of(&measured(), machine(), 14, 1000, 3).unwrap();
    let object = serde_json::to_value(&outcome).unwrap();
    for (name, _) in TARGETS {
        assert!(object["ratios"][name].is_number(), "{name}");
        assert!(object["intervals"][name][1].is_number(), "{name}");
    }
    assert!(object["aa_spread_us"].is_number());
    let text = super::super::report::markdown(&outcome);
    assert!(text.contains("3 events of the audit trail found no room"), "{text}");
}
