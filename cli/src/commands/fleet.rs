//! Whether the proxies are armed, as a table, and what a challenge has proved.

use std::time::Duration;

use crate::api::{Armed, Disconnected, Node, Proof, ProvedNode, Registration};
use crate::client::Answer;
use crate::error::Error;
use crate::output::{Output, or_dash, printable, table};

const COLUMNS: [&str; 9] =
    ["NODE", "STATE", "WHY", "WORKERS", "REVISION", "AGE", "CLOCK", "FILTER", "REGISTRATION"];
const PROOF_COLUMNS: [&str; 10] = [
    "NODE",
    "STATE",
    "WHY",
    "WORKER",
    "INSTANCE",
    "REVISION",
    "AGE",
    "ANSWERED AFTER",
    "FILTER",
    "CONFIGURATION",
];
/// Of a hash, as much as people compare.
const HASH_SHOWN: usize = 12;

/// One row a proxy: first those that are connected, then those that were, then
/// those that never have. `None` if there is none.
pub(super) fn proxies(
    nodes: Vec<Node>,
    disconnected: Vec<Disconnected>,
    registrations: &[Registration],
) -> Option<String> {
    let never = registrations.iter().filter_map(|registration| {
        let Armed { state, why } = registration.armed.as_ref()?;
        let why = why.clone();
        let name = Some(registration.name.clone());
        Some(absent(registration.node_id.clone(), Armed { state: state.clone(), why }, name))
    });
    let left = disconnected.into_iter().map(|gone| {
        let since = gone.since;
        let why = gone.armed.why.or_else(|| Some(format!("it is not connected since {since}")));
        absent(gone.node_id, Armed { why, ..gone.armed }, gone.registration)
    });
    let rows: Vec<_> = nodes.into_iter().map(connected).chain(left).chain(never).collect();
    (!rows.is_empty()).then(|| table(COLUMNS, rows))
}

fn connected(node: Node) -> [String; 9] {
    let oldest = node.workers.iter().min_by_key(|worker| worker.revision);
    let revision = oldest.map(|worker| match worker.behind {
        0 => worker.revision.to_string(),
        behind => format!("{}, {behind} behind", worker.revision),
    });
    let ages: Option<Vec<_>> = node.workers.iter().map(|worker| worker.proved_age_ms).collect();
    let age = ages.and_then(|ages| ages.into_iter().max()).map(span);
    [
        node.node_id,
        node.armed.state,
        or_dash(node.armed.why),
        node.workers.len().to_string(),
        or_dash(revision),
        or_dash(age),
        or_dash(node.clock_ahead_ms.map(skew)),
        node.filter_version,
        node.registration,
    ]
}

/// Of a proxy that is not connected, what it decides by is not known.
fn absent(node_id: String, armed: Armed, registration: Option<String>) -> [String; 9] {
    let [workers, revision, age, clock, filter] = [(); 5].map(|()| "-".to_owned());
    let registration = or_dash(registration);
    let why = or_dash(armed.why);
    [node_id, armed.state, why, workers, revision, age, clock, filter, registration]
}

/// Prints what a challenge has proved, and fails unless that is that all who were
/// challenged are armed.
pub(super) fn print_proof(
    output: &mut Output<'_>,
    Answer { value: proof, json }: Answer<Proof>,
) -> Result<(), Error> {
    let armed = proof.nodes.iter().filter(|node| node.armed.state == "armed").count();
    if output.is_json() {
        output.document(&json)?;
    } else {
        print_answers(output, &proof)?;
    }
    // What each proxy has proved counts, and not only the sum that the server says.
    let all = usize::try_from(proof.challenged) == Ok(armed) && proof.left == 0;
    if proof.armed && all && armed > 0 {
        return Ok(());
    }
    Err(Error::NotArmed(match (proof.challenged, proof.left) {
        (0, _) => "no proxy is connected, so that none was challenged".to_owned(),
        (challenged, 0) => format!("{armed} of {challenged} challenged proxies are armed"),
        (challenged, left) => format!(
            "{armed} of {challenged} challenged proxies are armed, and {left} left while asked"
        ),
    }))
}

fn print_answers(output: &mut Output<'_>, proof: &Proof) -> Result<(), Error> {
    let rows: Vec<_> = proof.nodes.iter().flat_map(answers).collect();
    if !rows.is_empty() {
        output.lines(format_args!("{}\n", table(PROOF_COLUMNS, rows)))?;
    }
    let Proof { nonce, challenged_at, revision, epoch, .. } = proof;
    let said = format!("Challenged at: {challenged_at}, with the nonce {nonce}");
    output.lines(printable(&said))?;
    output.lines(format_args!("Newest revision: {revision} (epoch {epoch})"))?;
    match proof.disconnected.len() {
        0 => Ok(()),
        gone => output
            .lines(format_args!("Not challenged, because not connected: {gone} (`kya node list`)")),
    }
}

/// One row a worker; a proxy that has named none has a row all the same.
fn answers(node: &ProvedNode) -> Vec<[String; 10]> {
    let hash = node.configuration_hash.as_ref();
    let hash = or_dash(hash.map(|hash| hash.chars().take(HASH_SHOWN).collect::<String>()));
    let row = |worker: [String; 5]| {
        let [slot, instance, revision, age, after] = worker;
        let (id, state) = (node.node_id.clone(), node.armed.state.clone());
        let (why, filter) = (or_dash(node.armed.why.as_ref()), node.filter_version.clone());
        [id, state, why, slot, instance, revision, age, after, filter, hash.clone()]
    };
    if node.workers.is_empty() {
        return vec![row([(); 5].map(|()| "-".to_owned()))];
    }
    let workers = node.workers.iter().map(|worker| {
        row([
            worker.slot.to_string(),
            worker.instance.clone(),
            or_dash(worker.revision),
            or_dash(worker.state_age_ms.map(span)),
            or_dash(worker.answered_after_ms.map(|after| format!("{after:.1} ms"))),
        ])
    });
    workers.collect()
}

/// A time of so many milliseconds.
fn span(millis: u64) -> String {
    let time = Duration::from_millis(millis);
    match millis {
        // Of a worker that has never had a state.
        u64::MAX => "-".to_owned(),
        0..1_000 => format!("{millis} ms"),
        1_000..120_000 => format!("{:.1} s", time.as_secs_f64()),
        _ => humantime::format_duration(Duration::from_secs(time.as_secs())).to_string(),
    }
}

/// How far a clock is ahead.
fn skew(millis: i64) -> String {
    match millis {
        0 => "0 ms".to_owned(),
        1.. => format!("+{}", span(millis.unsigned_abs())),
        _ => format!("-{}", span(millis.unsigned_abs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_skew_has_a_sign() {
        assert_eq!([0, 999, 1_250, 7_500_000].map(span), ["0 ms", "999 ms", "1.2 s", "2h 5m"]);
        assert_eq!([0, 3, -1_500].map(skew), ["0 ms", "+3 ms", "-1.5 s"]);
        assert_eq!(span(u64::MAX), "-");
        assert!(skew(i64::MIN).starts_with('-'));
    }
}
