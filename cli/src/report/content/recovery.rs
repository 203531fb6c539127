//! The stops one by one, and by what all of it is proved.

use kya_core::drill::evidence::{Document, Facts, Restored, Stop};

use super::super::words;
use super::{Block, Table, ms, us};
use crate::output::or_dash;

pub(super) fn stops(facts: &Facts) -> Vec<Block> {
    if facts.stops.is_empty() {
        return Vec::new();
    }
    let row = |(n, stop): (usize, &Stop)| {
        let receipt = stop.receipt.as_ref();
        let workers = receipt.map(|it| format!("{} of {}", it.acknowledged, it.workers_there));
        let complete = receipt.map(|it| if it.complete { "yes" } else { "no" });
        let after =
            |it: &Restored| format!("{} ms, record {}", ms(it.after_us as f64 / 1000.0), it.record);
        vec![
            (n + 1).to_string(),
            format!("{}, record {}", stop.kill_id, stop.activated.record),
            stop.activated.time.to_string(),
            us(stop.first_rejection_us),
            us(stop.last_rejection_us),
            us(stop.acknowledged_us),
            or_dash(workers),
            or_dash(complete),
            or_dash(stop.restored.as_ref().map(after)),
        ]
    };
    let receipts = || facts.stops.iter().filter_map(|stop| stop.receipt.as_ref());
    let sum = |of: fn(&kya_core::audit::ReceiptFlights) -> u64| -> u64 {
        receipts().map(|it| of(&it.in_flight)).fold(0, u64::saturating_add)
    };
    let mut away: Vec<_> = receipts().flat_map(|it| &it.not_connected).collect();
    away.sort_unstable();
    away.dedup();
    let away = match away.as_slice() {
        [] => "Every registered proxy was connected at each stop.".to_owned(),
        some => {
            let names: Vec<_> = some.iter().take(20).map(|it| it.as_str()).collect();
            format!(
                "Registered and not connected at some stop: {} ({} in all).",
                names.join(", "),
                some.len()
            )
        }
    };
    vec![
        Block::Heading("Stops and recovery"),
        Block::Text(words::STOPS.to_owned()),
        Block::Table(Table {
            columns: vec![
                ("#", 0.5, true),
                ("Kill", 3.6, false),
                ("Committed", 2.8, false),
                ("First ms", 1.2, true),
                ("Last ms", 1.2, true),
                ("Ack ms", 1.2, true),
                ("Workers", 1.2, true),
                ("Complete", 1.1, false),
                ("Restored after", 2.2, false),
            ],
            rows: facts.stops.iter().enumerate().map(row).collect(),
        }),
        Block::Text(format!(
            "Requests in flight at the stops: {}, of which {} committed, {} rolled back, {} escalated, {} open. {away}",
            sum(|it| it.requests),
            sum(|it| it.committed),
            sum(|it| it.rolled_back),
            sum(|it| it.escalated),
            sum(|it| it.open),
        )),
    ]
}

pub(super) fn proofs(document: &Document, facts: &Facts) -> [Block; 3] {
    let trail = &facts.trail;
    let [pairs, kept] = facts.probed;
    let receipts = facts.stops.iter().filter(|stop| stop.receipt.is_some()).count();
    [
        Block::Heading("Signatures and proofs"),
        Block::Text(words::PROOFS.to_owned()),
        Block::Pairs(vec![
            ("Trail", trail.origin.clone()),
            ("Signing key", trail.key.clone()),
            ("Checkpoint", format!("{} records, signed {}", trail.size, trail.signed_at)),
            ("Root of the tree", trail.root.clone()),
            (
                "Records in this file",
                format!("{}; {} more by their hashes", trail.shown, trail.hidden),
            ),
            ("Receipts", format!("{receipts} of {} stops", document.samples.len())),
            ("Probes in this file", format!("{kept} of {pairs} pairs of a sample and a party")),
            ("To verify", "kya audit verify FILE --key KEY".to_owned()),
        ]),
    ]
}
