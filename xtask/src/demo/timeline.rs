//! The kill, event by event.

use kya_envoy::traffic::Outcome;

use super::report::{Facts, Report};

/// The events around the commit in the order of their time, and what came after.
pub(super) fn render(facts: &Facts, report: &Report) -> String {
    let mut events =
        vec![(0.0, format!("revocation committed as revision {}", facts.acks.revision))];
    for node in &facts.nodes {
        let last_allow = facts
            .of_node(node)
            .filter(|sample| sample.outcome == Outcome::Allowed)
            .map(|sample| facts.after_commit(sample.answered_unix_ms))
            .reduce(f64::max);
        if let Some(at) = last_allow {
            events.push((at, format!("{node}: last charge allowed")));
        }
        if let Some(denial) = facts.first_denial(node) {
            let at = facts.after_commit(denial.answered_unix_ms);
            events.push((at, format!("{node}: first charge denied")));
        }
    }
    for ack in &report.acks {
        let (node, worker) = (&ack.node_id, ack.worker);
        events.push((ack.applied_ms, format!("{node}: worker {worker} denies from here on")));
        events.push((ack.acknowledged_ms, format!("{node}: worker {worker} acknowledged")));
    }
    events.sort_by(|a, b| a.0.total_cmp(&b.0));

    let mut text = String::from("\nTimeline, in ms after the revocation was committed:\n\n");
    for (at, what) in events {
        text.push_str(&format!("  {at:>+9.3}  {what}\n"));
    }
    text.push_str(&match (report.allowed_after_last_ack, report.denied_after_last_ack) {
        (Some(allowed), Some(denied)) => format!(
            "\nSent after the last worker knew: {allowed} charges allowed, {denied} denied.\n"
        ),
        _ => "\nNot every worker has acknowledged.\n".to_owned(),
    });
    text
}
