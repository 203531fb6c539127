//! What became of a request, by what was seen of it and never by a guess.
//!
//! *Committed*: the upstream has answered in full. *Rolled back*: the upstream has said
//! that it undid it, or the request surely never reached it. *Escalated*: everything
//! else, so that a person looks.

use kya_core::wire::Disposition;

use crate::host::Host;

/// What is known of the response to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Response {
    /// Nothing was seen.
    #[default]
    None,
    /// The upstream answers with this status.
    Upstream {
        /// Its status.
        status: u16,
        /// It said that it undid what the request asked for.
        undone: bool,
    },
    /// The proxy itself answers, or another filter.
    Other,
}

/// Value of `x-kya-disposition` by which an upstream says that it undid a request.
pub(super) const UNDONE: &[u8] = b"rolled_back";

// Bits of Envoy's `response.flags` (`StreamInfo::CoreResponseFlag`). With one of these
// and no other the request was not sent.
const NO_HEALTHY_UPSTREAM: u64 = 0x2;
const UPSTREAM_CONNECTION_FAILURE: u64 = 0x20;
const UPSTREAM_OVERFLOW: u64 = 0x80;
const NO_ROUTE: u64 = 0x100;
const NO_CLUSTER: u64 = 0x0100_0000;
const DNS_FAILED: u64 = 0x0400_0000;
const UNSENT: u64 = NO_HEALTHY_UPSTREAM
    | UPSTREAM_CONNECTION_FAILURE
    | UPSTREAM_OVERFLOW
    | NO_ROUTE
    | NO_CLUSTER
    | DNS_FAILED;

/// What became of a request whose response had come so far, and had come to its end or
/// not. Asks the proxy only where that does not say it.
pub(super) fn disposition(host: &impl Host, response: Response, complete: bool) -> Disposition {
    match response {
        Response::Upstream { undone: true, .. } => Disposition::RolledBack,
        Response::Upstream { undone: false, .. } if complete => Disposition::Committed,
        Response::Upstream { .. } => Disposition::Escalated,
        Response::None | Response::Other if was_not_sent(host) => Disposition::RolledBack,
        Response::None | Response::Other => Disposition::Escalated,
    }
}

/// Whether the proxy shows that nothing of the request reached an upstream.
///
/// Envoy names the upstream that it has chosen (`upstream.address`) before it has a
/// connection for the request, and its own end of that (`upstream.local_address`; empty for
/// one without a name) only once it has. A second attempt hides what became of the first.
fn was_not_sent(host: &impl Host) -> bool {
    let number = |path: &[&str]| {
        let bytes = host.property(path)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    // A proxy that does not show this may not show the others, either.
    let Some(flags) = number(&["response", "flags"]) else { return false };
    let attempts = number(&["upstream", "request_attempt_count"]).unwrap_or(0);
    if attempts > 1 {
        return false;
    }
    let is_chosen = host.property(&["upstream", "address"]).is_some_and(|it| !it.is_empty());
    let is_connected = host.property(&["upstream", "local_address"]).is_some();
    !(is_chosen && is_connected) || flags != 0 && flags & !UNSENT == 0
}

/// Whether the response that begins is the upstream's, by the proxy's word for it.
pub(super) fn is_of_upstream(host: &impl Host) -> bool {
    host.property(&["response", "code_details"]).is_some_and(|it| it == b"via_upstream")
}
