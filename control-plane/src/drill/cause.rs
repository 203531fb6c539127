//! The likely cause why a relying party was of no use, in words. Pure.

use kya_core::DenyReason;
use kya_core::drill::outcome::Outcome;
use kya_core::drill::summary::PartyFigures;

/// Most proxies that are named.
const NAMED: usize = 10;

/// What is known of a party besides its figures.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// What it answered to a request without a token.
    pub(super) without_token: Option<Outcome>,
    /// What it answered most often to the canary when it had to be allowed.
    pub(super) before: Option<Outcome>,
    /// What it answered most often after the stop.
    pub(super) after: Option<Outcome>,
}

/// What is wrong with a party, if anything is. `silent` are registered proxies that are
/// not connected, or not armed.
pub(super) fn of(figures: &PartyFigures, known: &Known, silent: &[String]) -> Option<String> {
    if figures.measured == 0 {
        return Some(never_worked(known));
    }
    if figures.not_rejected == 0 && figures.allowed_after_ack == 0 {
        return None;
    }
    let lead = match (figures.not_rejected, figures.measured) {
        (0, _) => format!(
            "{} requests were allowed after every worker had acknowledged the stop",
            figures.allowed_after_ack
        ),
        (never, all) if never == all => "it never rejected the canary".to_owned(),
        (some, all) => format!("it did not reject the canary in {some} of {all} samples"),
    };
    Some(format!("{lead}: {}", never_rejected(known, silent)))
}

fn never_worked(known: &Known) -> String {
    match known.before {
        Some(Outcome::Denied(reason)) => {
            format!("the canary was never allowed there: {}", of_reason(reason))
        }
        Some(Outcome::Other(status)) => format!(
            "the canary was never allowed there: whoever answers says {status}, which is not kya's; name a path that answers 2xx to whoever is let through (redirects are not followed)"
        ),
        Some(Outcome::NoAnswer | Outcome::Missed) | None => {
            "there was no answer: the proxy is frozen or unreachable, or the address is wrong"
                .to_owned()
        }
        Some(Outcome::Allowed) => {
            "the canary was allowed there, but in no sample before the stop: it answers too late"
                .to_owned()
        }
    }
}

fn never_rejected(known: &Known, silent: &[String]) -> String {
    match (known.after, known.without_token) {
        (Some(Outcome::NoAnswer | Outcome::Missed), _) => {
            "there was no answer after the stop: the proxy is frozen or unreachable".to_owned()
        }
        (Some(Outcome::Denied(reason)), _) if !known.after.is_some_and(Outcome::rejects) => {
            format!("after the stop, {}", of_reason(reason))
        }
        (Some(Outcome::Other(status)), _) => {
            format!("after the stop somebody answers {status}, and that is not kya")
        }
        (_, Some(Outcome::Allowed)) => {
            "a request without any token is allowed there, too: there is no filter on this path, or it is set to let everything through".to_owned()
        }
        (_, Some(Outcome::Denied(_))) => {
            let heard = "its filter denies who has no token, and did not hear of the stop in time";
            match silent {
                [] => format!("{heard}, though every registered proxy is connected and armed: it may belong to another control plane, or be overloaded"),
                silent => format!("{heard}. Not connected or not armed: {}", named(silent)),
            }
        }
        _ => "what stands on this path could not be told: it neither allows nor denies a request without a token".to_owned(),
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

    #[test]
    fn each_fault_has_its_own_words() {
        let said = |figures, without_token, before, after, silent: &[String]| {
            let known = Known { without_token, before, after };
            of(&figures, &known, silent).unwrap_or_default()
        };
        let (never, works) = (figures(0, 0), figures(3, 3));
        let allowed = Some(Outcome::Allowed);
        let silent = ["web-1".to_owned()];
        let wrong = Outcome::Denied(DenyReason::ServiceDenied);
        for (found, part) in [
            (said(figures(3, 0), Some(MISSING), allowed, None, &[]), ""),
            (said(works.clone(), allowed, allowed, allowed, &[]), "no filter"),
            (said(works.clone(), Some(MISSING), allowed, allowed, &silent), "armed: web-1"),
            (said(works.clone(), Some(MISSING), allowed, allowed, &[]), "another control plane"),
            (said(works.clone(), Some(MISSING), allowed, Some(Outcome::NoAnswer), &[]), "frozen"),
            (said(works, Some(MISSING), allowed, Some(Outcome::Other(500)), &[]), "answers 500"),
            (said(figures(3, 1), allowed, allowed, allowed, &[]), "in 1 of 3 samples"),
            (said(never.clone(), None, Some(wrong), None, &[]), "`service_denied`: the service"),
            (said(never.clone(), None, Some(Outcome::Other(302)), None, &[]), "says 302"),
            (said(never.clone(), None, Some(Outcome::NoAnswer), None, &[]), "unreachable"),
            (said(never, None, None, None, &[]), "unreachable"),
        ] {
            assert!(
                found.contains(part) && (found.is_empty() == part.is_empty()),
                "{part}: {found}"
            );
        }
        let after_ack = PartyFigures { allowed_after_ack: 2, ..figures(3, 0) };
        let found = said(after_ack, Some(MISSING), allowed, Some(MISSING), &[]);
        assert!(found.starts_with("2 requests were allowed after every worker"), "{found}");
    }

    #[test]
    fn not_more_proxies_are_named_than_somebody_reads() {
        let many: Vec<_> = (0..12).map(|n| format!("web-{n}")).collect();
        assert!(named(&many).ends_with("web-9 and 2 more"), "{}", named(&many));
    }
}
