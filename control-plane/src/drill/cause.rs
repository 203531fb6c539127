//! The likely cause why a relying party was of no use, in words. Pure.

use std::collections::BTreeSet;

use kya_core::DenyReason;
use kya_core::drill::outcome::Outcome;
use kya_core::drill::summary::PartyFigures;

/// Most proxies that are named.
const NAMED: usize = 10;

/// What is known of a party besides its figures.
#[derive(Debug, Clone, Default)]
pub(super) struct Known<'a> {
    /// What it answered to a request without a token.
    pub(super) without_token: Option<Outcome>,
    /// What it answered to a request with a token that nobody has issued.
    pub(super) unknown_token: Option<Outcome>,
    /// What it answered most often to the canary when it had to be allowed and was not.
    pub(super) before: Option<Outcome>,
    /// What it answered most often after the stop, where it did not come to reject.
    pub(super) after: Option<Outcome>,
    /// Registered proxies that are not connected or not armed: whichever of them it is.
    pub(super) silent: &'a [String],
}

/// What is wrong with a party, if anything is, after so many samples.
pub(super) fn of(figures: &PartyFigures, samples: usize, known: &Known<'_>) -> Option<String> {
    let PartyFigures { measured, not_rejected, allowed_after_ack, .. } = *figures;
    if measured == 0 {
        return Some(format!("the canary was never allowed there: {}", not_allowed(known)));
    }
    if not_rejected > 0 || allowed_after_ack > 0 {
        let lead = match (not_rejected, measured) {
            (0, _) => format!(
                "{allowed_after_ack} requests were allowed after every worker had acknowledged the stop"
            ),
            (never, all) if never == all => "it never rejected the canary".to_owned(),
            (some, all) => format!("it did not reject the canary in {some} of {all} samples"),
        };
        return Some(format!("{lead}: {}", never_rejected(known)));
    }
    if measured < samples {
        let why = not_allowed(known);
        return Some(format!(
            "the canary was allowed there in {measured} of {samples} samples: {why}"
        ));
    }
    lets_anybody_through(known).then(|| OPEN.to_owned())
}

/// What is wrong with the clock of a proxy.
pub(super) fn of_clock(proxy: &str, ahead_millis: i64) -> String {
    let seconds = ahead_millis.unsigned_abs() / 1000;
    match ahead_millis < 0 {
        false => format!(
            "proxy {proxy}: its clock is {seconds} s ahead of the control plane's: tokens and agents expire there too early, and its records are dated wrongly"
        ),
        true => format!(
            "proxy {proxy}: its clock is {seconds} s behind the control plane's: what expires while it is cut off counts there for longer, and its records are dated wrongly"
        ),
    }
}

/// What is wrong where connected proxies did not acknowledge so many stops of all.
pub(super) fn of_unheard(stops: usize, all: usize, proxies: &BTreeSet<String>) -> String {
    let proxies: Vec<_> = proxies.iter().cloned().collect();
    format!(
        "{stops} of {all} stops were not acknowledged in time by proxies that are connected, so that nothing is known of what they let through: {}",
        named(&proxies)
    )
}

const OPEN: &str = "it lets through a token that nobody has issued: its fail modes are open (`fail_modes` of its filter)";

fn lets_anybody_through(known: &Known<'_>) -> bool {
    known.unknown_token == Some(Outcome::Allowed) && known.without_token != Some(Outcome::Allowed)
}

fn not_allowed(known: &Known<'_>) -> String {
    match known.before {
        Some(Outcome::Denied(reason)) => match reason {
            DenyReason::TokenUnknown
            | DenyReason::Stale
            | DenyReason::Unsynced
            | DenyReason::AgentSuspended => and_silent(of_reason(reason), known.silent),
            _ => of_reason(reason),
        },
        Some(Outcome::Other(status)) => format!(
            "whoever answers says {status}, which is not kya's; name a path that answers 2xx to whoever is let through (redirects are not followed)"
        ),
        Some(Outcome::NoAnswer | Outcome::Missed) | None => and_silent(
            "there was no answer: the proxy is frozen or unreachable, or the address is wrong"
                .to_owned(),
            known.silent,
        ),
        Some(Outcome::Allowed) => {
            "it was allowed in no sample before the stop: it answers too late".to_owned()
        }
    }
}

fn never_rejected(known: &Known<'_>) -> String {
    match (known.after, known.without_token) {
        (Some(Outcome::NoAnswer | Outcome::Missed), _) => and_silent(
            "there was no answer after the stop: the proxy is frozen or unreachable".to_owned(),
            known.silent,
        ),
        (Some(Outcome::Denied(reason)), _) if !known.after.is_some_and(Outcome::rejects) => {
            and_silent(format!("after the stop, {}", of_reason(reason)), known.silent)
        }
        (Some(Outcome::Other(status)), _) => {
            format!("after the stop somebody answers {status}, and that is not kya")
        }
        (_, Some(Outcome::Allowed)) => {
            "a request without any token is allowed there, too: there is no filter on this path, or it is set to let everything through".to_owned()
        }
        _ if lets_anybody_through(known) => OPEN.to_owned(),
        (_, Some(Outcome::Denied(_))) => {
            let heard = "its filter denies who has no token, and did not hear of the stop in time";
            match known.silent {
                [] => format!("{heard}, though every registered proxy is connected and armed: it may belong to another control plane, or be overloaded"),
                silent => and_silent(heard.to_owned(), silent),
            }
        }
        _ => "what stands on this path could not be told: it neither allows nor denies a request without a token".to_owned(),
    }
}

/// The same, and which proxies it may be.
fn and_silent(why: String, silent: &[String]) -> String {
    match silent {
        [] => why,
        silent => format!("{why}. Not connected or not armed: {}", named(silent)),
    }
}

fn of_reason(reason: DenyReason) -> String {
    let name = reason.name();
    let means = match reason {
        DenyReason::TokenUnknown => {
            "its proxy does not know the canary's token: it has not heard from this control plane since the drill began, or belongs to another one"
        }
        DenyReason::TokenMissing | DenyReason::TokenMalformed | DenyReason::MultipleCredentials => {
            "it does not look for the token in `authorization: Bearer`, or somebody on the way takes that away"
        }
        DenyReason::WrongAudience | DenyReason::ServiceDenied => {
            "the service is not one that the canary may use"
        }
        DenyReason::InsufficientScope
        | DenyReason::CapabilityRevoked
        | DenyReason::ActionDenied
        | DenyReason::ActionUnknown => {
            "the canary may not do what this path stands for: name another path, or a canary under another policy"
        }
        DenyReason::Stale => "its proxy has not heard from its control plane for too long",
        DenyReason::Unsynced => "its proxy has no state yet",
        DenyReason::AuditFull => "its proxy has no room to record what it decides",
        DenyReason::Internal => "its filter failed to read the request",
        DenyReason::FleetHalted => "everyone is halted",
        DenyReason::PrincipalSuspended
        | DenyReason::PrincipalRevoked
        | DenyReason::DelegatorStopped => "somebody for whom the canary acts is stopped",
        DenyReason::AgentSuspended | DenyReason::AgentRevoked | DenyReason::AgentExpired => {
            "the canary was stopped before the drill stopped it, or its restoration was not heard of"
        }
        DenyReason::TokenSuperseded
        | DenyReason::TokenRevoked
        | DenyReason::TokenExpired
        | DenyReason::TokenNotYet => "the canary's token does not count there",
    };
    format!("it is denied with `{name}`: {means}")
}

fn named(silent: &[String]) -> String {
    let named = silent.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match silent.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISSING: Outcome = Outcome::Denied(DenyReason::TokenMissing);

    fn figures(measured: usize, not_rejected: usize) -> PartyFigures {
        PartyFigures { measured, not_rejected, ..PartyFigures::default() }
    }

    /// What is said after three samples.
    fn said(figures: PartyFigures, known: &Known<'_>) -> String {
        of(&figures, 3, known).unwrap_or_default()
    }

    #[test]
    fn each_fault_has_its_own_words() {
        let said = |figures: &PartyFigures, without_token, before, after, silent: &[String]| {
            let unknown_token = without_token;
            said(figures.clone(), &Known { without_token, unknown_token, before, after, silent })
        };
        let (never, works) = (&figures(0, 0), &figures(3, 3));
        let (allowed, mute) = (Some(Outcome::Allowed), Some(Outcome::NoAnswer));
        let silent = ["web-1".to_owned()];
        let unknown = Some(Outcome::Denied(DenyReason::TokenUnknown));
        let wrong = Some(Outcome::Denied(DenyReason::ServiceDenied));
        let stale = Some(Outcome::Denied(DenyReason::Stale));
        for (found, part) in [
            (said(&figures(3, 0), Some(MISSING), None, None, &silent), ""),
            (said(works, allowed, None, allowed, &[]), "no filter"),
            (said(works, Some(MISSING), None, allowed, &silent), "armed: web-1"),
            (said(works, Some(MISSING), None, allowed, &[]), "another control plane"),
            (
                said(works, Some(MISSING), None, mute, &silent),
                "unreachable. Not connected or not armed: web-1",
            ),
            (
                said(works, Some(MISSING), None, stale, &[]),
                "after the stop, it is denied with `stale`",
            ),
            (said(works, Some(MISSING), None, Some(Outcome::Other(500)), &[]), "answers 500"),
            (said(&figures(3, 1), allowed, None, allowed, &[]), "in 1 of 3 samples"),
            (
                said(&figures(2, 0), Some(MISSING), mute, None, &[]),
                "allowed there in 2 of 3 samples: there was no answer",
            ),
            (
                said(never, None, wrong, None, &silent),
                "`service_denied`: the service is not one that the canary may use",
            ),
            (
                said(never, None, unknown, None, &silent),
                "belongs to another one. Not connected or not armed: web-1",
            ),
            (said(never, None, Some(Outcome::Other(302)), None, &[]), "says 302"),
            (said(never, None, mute, None, &[]), "unreachable"),
            (said(never, None, None, None, &[]), "unreachable"),
        ] {
            assert!(
                found.contains(part) && (found.is_empty() == part.is_empty()),
                "{part}: {found}"
            );
        }
        let after_ack = PartyFigures { allowed_after_ack: 2, ..figures(3, 0) };
        let found = said(&after_ack, Some(MISSING), None, Some(MISSING), &[]);
        assert!(found.starts_with("2 requests were allowed after every worker"), "{found}");
        assert!(!said(&figures(3, 0), wrong, None, None, &silent).contains("web-1"));
    }

    #[test]
    fn an_open_mode_is_found_though_the_canary_is_rejected() {
        let (allowed, missing) = (Some(Outcome::Allowed), Some(MISSING));
        let open = Known { without_token: missing, unknown_token: allowed, ..Known::default() };
        assert!(said(figures(3, 0), &open).contains("fail modes are open"));
        let cut_off = Known { after: allowed, ..open.clone() };
        assert!(said(figures(3, 3), &cut_off).contains("never rejected the canary: it lets"));
        // Where nothing is needed to pass, there is no gate whose mode could be open.
        let no_filter = Known { without_token: allowed, after: allowed, ..open.clone() };
        assert!(said(figures(3, 3), &no_filter).contains("no filter"));
        let closed = Known { unknown_token: Some(MISSING), ..open };
        assert_eq!(said(figures(3, 0), &closed), "");
    }

    #[test]
    fn a_clock_that_is_off_is_named_with_its_direction() {
        assert!(of_clock("web-1", 3_600_250).starts_with("proxy web-1: its clock is 3600 s ahead"));
        assert!(of_clock("web-1", -90_000).contains("90 s behind"));
    }

    #[test]
    fn not_more_proxies_are_named_than_somebody_reads() {
        let many: Vec<_> = (0..12).map(|n| format!("web-{n}")).collect();
        assert!(named(&many).ends_with("web-9 and 2 more"), "{}", named(&many));
    }
}
