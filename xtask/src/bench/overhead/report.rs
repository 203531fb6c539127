//! The outcome as text, for a terminal and for a page.

use std::fmt::Write as _;

use super::outcome::Outcome;
use super::stats::Estimate;

/// What the page says of a ratio.
fn of(name: &str) -> &str {
    match name {
        "opaque_vs_noop" => "CPU of kya with an opaque token by that of wasm that does nothing",
        "opaque_vs_ext_authz" => "CPU with an opaque token, by that of the cheapest `ext_authz`",
        "latency_vs_ext_authz" => "time to an answer, by that of the quickest `ext_authz`",
        "jwt_cached_vs_opaque" => "CPU with a capability token verified before, by an opaque one",
        "tokens_1e7_vs_1e3" => "CPU with 10^7 tokens by that with 10^3",
        "audit_on_vs_off" => "CPU with the audit trail by that without",
        other => other,
    }
}

/// All of it as Markdown. The tables of a page are the table of a terminal.
pub(super) fn markdown(outcome: &Outcome) -> String {
    // Writing into a string cannot fail.
    let mut text = machine(outcome);
    ratios(&mut text, outcome);
    for (answers, title) in [
        ("direct", "CPU of Envoy at a request, answered by Envoy itself"),
        ("upstream", "CPU of Envoy at a request, answered by a service behind it"),
    ] {
        let _ = writeln!(
            text,
            "\n{title}:\n\n\
             | filter | adds, µs | 95 % | in all, µs | other processes, µs | requests a second |\n\
             |---|---:|---|---:|---:|---:|"
        );
        for row in outcome.variants.iter().filter(|row| row.answers == answers) {
            let Estimate { value, low, high } = row.added_us;
            let others = row.others_us.map_or(String::new(), |it| format!("{it:.1}"));
            let _ = writeln!(
                text,
                "| {} | {value:.1} | {low:.1} to {high:.1} | {:.1} | {others} | {:.0} |",
                row.what, row.cpu_us, row.per_second
            );
        }
    }
    let _ = writeln!(
        text,
        "\nTime to an answer, {:.0} requests a second for each, open loop:\n\n\
         | filter | adds to the median, µs | 95 % | median, µs | p99, µs | CPU, µs |\n\
         |---|---:|---|---:|---:|---:|",
        outcome.latency_per_second
    );
    for row in &outcome.latency {
        let Estimate { value, low, high } = row.added_us;
        let _ = writeln!(
            text,
            "| {} | {value:.0} | {low:.0} to {high:.0} | {:.0} | {:.0} | {:.1} |",
            row.what, row.p50_us, row.p99_us, row.cpu_us
        );
    }
    let _ = writeln!(
        text,
        "\nOne of the calls that a filter makes, by the slope of a request that makes it 100 and \
         300 times:\n\n| call | ns | 95 % |\n|---|---:|---|"
    );
    for row in &outcome.pieces {
        let Estimate { value, low, high } = row.nanoseconds;
        let _ = writeln!(text, "| {} | {value:.0} | {low:.0} to {high:.0} |", row.what);
    }
    text
}

fn machine(outcome: &Outcome) -> String {
    let it = &outcome.machine;
    format!(
        "{}: {} cores of {}, {} GiB, Linux {}, load {} before. kya {} ({}), Envoy {}, Redis {}, \
         {}, {}. {} rounds of slices of {} ms. Two listeners without a filter are within {} µs of \
         CPU of each other in 95 of 100 rounds, and within {} µs of time.{}\n",
        it.date,
        it.cores,
        it.cpu,
        it.memory_gib,
        it.kernel,
        it.load_before,
        it.kya,
        it.commit,
        it.envoy,
        it.redis,
        it.rustc,
        it.crates.join(", "),
        outcome.rounds,
        outcome.slice_ms,
        outcome.aa_spread_us,
        outcome.aa_spread_latency_us,
        match outcome.audit_events_dropped {
            0 => String::new(),
            count => format!(
                " {count} events of the audit trail found no room, so what it costs is more than \
                 it seems."
            ),
        },
    )
}

fn ratios(text: &mut String, outcome: &Outcome) {
    let _ = writeln!(
        text,
        "\nWhat kya adds, by what something else adds:\n\n\
         | | ratio | 95 % | target | |\n|---|---:|---|---:|---|"
    );
    for (name, target) in &outcome.targets {
        let Some(ratio) = outcome.ratios.get(name) else {
            let _ = writeln!(text, "| {} | not known | | {target} | |", of(name));
            continue;
        };
        let interval = match outcome.intervals.get(name) {
            Some([Some(low), Some(high)]) => format!("{low:.2} to {high:.2}"),
            Some([Some(low), None]) => format!("{low:.2} or more"),
            _ => String::new(),
        };
        let met = if outcome.meets(name) == Some(true) { "met" } else { "not met" };
        let _ = writeln!(text, "| {} | {ratio:.2} | {interval} | {target} | {met} |", of(name));
    }
}
