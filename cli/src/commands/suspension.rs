//! What a suspension of agents lets go on.

use crate::output::printable;

/// What is denied from now on and what is not, where work under way may end; `until` then,
/// if that is known.
pub(super) fn drains(until: Option<&str>) -> String {
    let how_long = match until {
        Some(until) => format!("until {} (drain window)", printable(until)),
        None => "for the drain_window of the policy (60s without one)".to_owned(),
    };
    format!(
        "Opaque tokens are denied now, until the agent is restored\n\
         Capability tokens issued before may finish their work {how_long}; \
         --in-flight abort ends them now"
    )
}
