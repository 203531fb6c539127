use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::audit::{Canonical, Entry, Record};

/// Texts that need escapes among them.
// Boxed: what they are made of is too large for the stack of a test.
fn text() -> BoxedStrategy<String> {
    prop_oneof![
        "[a-z0-9_]{1,20}",
        any::<String>(),
        Just("\",\"seq\":0,\"recorded\":\"\\ \u{1}\u{7f}\u{2028}\u{10000}".to_owned()),
    ]
    .boxed()
}

fn number() -> BoxedStrategy<u64> {
    prop_oneof![0..100u64, 0..1u64 << 53, Just(number::MAX_EXACT)].boxed()
}

fn flight_end() -> BoxedStrategy<FlightEnd> {
    let disposition = prop_oneof![
        Just(Disposition::Committed),
        Just(Disposition::RolledBack),
        Just(Disposition::Escalated)
    ];
    let hashed =
        prop_oneof![Just(BodyHash::None), Just(BodyHash::Whole), Just(BodyHash::Truncated)];
    let payload = (hashed, option::of(text()), number())
        .prop_map(|(hashed, sha256, bytes)| Payload { hashed, sha256, bytes });
    let numbers = (option::of(any::<u32>()), number(), option::of(number()));
    let all = (disposition, numbers, option::of(payload.boxed()));
    all.prop_map(|(disposition, numbers, payload)| {
        let (upstream_status, duration_us, cut_by_revision) = numbers;
        FlightEnd { disposition, upstream_status, duration_us, cut_by_revision, payload }
    })
    .boxed()
}

fn decided() -> BoxedStrategy<Decided> {
    let verdict = prop_oneof![Just(Verdict::Allow), Just(Verdict::Deny), Just(Verdict::Pass)];
    let source = (text(), any::<u32>(), text(), number())
        .prop_map(|(proxy, worker, instance, number)| Source { proxy, worker, instance, number });
    let texts = proptest::array::uniform12(option::of(text())).boxed();
    let numbers = proptest::array::uniform3(option::of(number())).boxed();
    let rest = (option::of(any::<u32>()), option::of(flight_end())).boxed();
    let all = (source.boxed(), verdict, texts, numbers, rest);
    all.prop_map(|(source, decision, texts, numbers, rest)| {
        let [reason, agent_id, principal_id, token_id, service, action, texts @ ..] = texts;
        let [method, path_template, policy_id, request_id, trace_id, parent_span_id] = texts;
        let [epoch, revision, state_age_ms] = numbers;
        let (policy_version, end) = rest;
        Decided {
            source,
            decision,
            reason,
            agent_id,
            principal_id,
            token_id,
            service,
            action,
            method,
            path_template,
            policy_id,
            policy_version,
            epoch,
            revision,
            state_age_ms,
            request_id,
            trace_id,
            parent_span_id,
            end,
        }
    })
    .boxed()
}

fn reported(decided: &Decided) -> String {
    let draft = draft(Timestamp(5), decided).unwrap();
    draft.reported().unwrap().collect()
}

proptest! {
    #[test]
    fn it_is_what_its_serde_form_is_in_order(
        decided in decided(),
        seq in number(),
        times in any::<[u64; 2]>(),
    ) {
        let [time, recorded] = times.map(Timestamp);
        let placed = draft(time, &decided).unwrap().at(seq, recorded).unwrap();
        let record = Record { seq, time, recorded, entry: Entry::Decision(Box::new(decided)) };
        prop_assert_eq!(placed, Canonical::of(&record).unwrap());
    }

    #[test]
    fn what_is_reported_is_all_but_what_the_control_plane_adds(
        decided in decided(),
        other in decided(),
    ) {
        let said = reported(&decided);
        let mut same = decided.clone();
        same.service.clone_from(&other.service);
        same.token_id.clone_from(&other.token_id);
        same.source.worker = other.source.worker;
        prop_assert_eq!(&reported(&same), &said);
        same.source.number = decided.source.number ^ 1;
        prop_assert_ne!(&reported(&same), &said);
        let like = Decided { source: same.source, ..other };
        let like = Decided { service: same.service, token_id: same.token_id, ..like };
        prop_assert_eq!(reported(&like) == reported(&decided), like == decided);
    }

    #[test]
    fn a_number_that_has_no_exact_form_is_refused(
        decided in decided(),
        which in 0..5usize,
        number in 1u64 << 53..,
    ) {
        let mut decided = decided;
        match which {
            0 => decided.source.number = number,
            1 => decided.epoch = Some(number),
            2 => decided.revision = Some(number),
            3 => decided.state_age_ms = Some(number),
            _ => {
                let end = FlightEnd {
                    disposition: Disposition::Committed,
                    upstream_status: None,
                    duration_us: number,
                    cut_by_revision: None,
                    payload: None,
                };
                decided.end = Some(end);
            }
        }
        prop_assert!(draft(Timestamp(5), &decided).is_err());
    }
}
