//! One HTTP stream, as its context in the guest sees it.

use std::collections::BTreeMap;

use super::{Direction, Half, Hold, LocalResponse, Outcome, RequestState};
use crate::headers::HeaderMap;

/// Why a stream is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The client has a whole response, whoever gave it.
    Responded,
    Reset,
    ClientLeft,
    Trapped(String),
    FailedClosed,
}

/// What a guest is asked about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Headers(Direction),
    Body(Direction),
    Trailers(Direction),
}

/// One HTTP request and its response.
#[derive(Debug, Default)]
pub(crate) struct HttpStream {
    pub(crate) request: Half,
    pub(crate) response: Half,
    /// True while the guest writes its access log and can read, and not change,
    /// what there was.
    pub(crate) logging: bool,
    /// What the guest answered.
    pub(crate) local_response: Option<LocalResponse>,
    /// The status with which the proxy itself answered.
    pub(crate) proxy_response: Option<u32>,
    /// True once the guest asked for a reset.
    pub(crate) resetting: bool,
    pub(crate) end: Option<End>,
    /// Envoy's `response.flags`, as far as the test has brought them about.
    pub(crate) flags: u64,
    /// There is no connection to an upstream.
    pub(crate) unconnected: bool,
    pub(crate) properties: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Request headers that the guest removed, for proxies that send them on all
    /// the same.
    pub(crate) removed: Vec<(String, Vec<u8>)>,
}

impl HttpStream {
    pub(crate) fn half(&self, direction: Direction) -> &Half {
        match direction {
            Direction::Request => &self.request,
            Direction::Response => &self.response,
        }
    }

    pub(crate) fn half_mut(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }

    /// True when the guest has answered, or reset, or all is over: another answer
    /// has crashed Envoy (envoy#23047, envoy#28826).
    pub(crate) fn is_answered(&self) -> bool {
        self.local_response.is_some() || self.resetting || self.end.is_some()
    }

    /// What the proxy shows of a request and its response, by a path of segments with a
    /// zero byte between them. Numbers are eight bytes, little-endian.
    pub(crate) fn attribute(&self, path: &[u8]) -> Option<Vec<u8>> {
        let connected = self.request.started() && !self.unconnected;
        let of_upstream = self.local_response.is_none() && self.proxy_response.is_none();
        match path {
            b"response\0flags" => Some(self.flags.to_le_bytes().into()),
            b"response\0code_details" if self.response.headers.is_some() => {
                let details: &[u8] = if of_upstream { b"via_upstream" } else { b"via_proxy" };
                Some(details.into())
            }
            b"upstream\0address" if connected => Some(b"127.0.0.1:3000".into()),
            b"upstream\0local_address" if connected => Some(b"127.0.0.1:40000".into()),
            b"upstream\0request_attempt_count" if self.request.started() => {
                Some(1u64.to_le_bytes().into())
            }
            _ => None,
        }
    }

    /// The guest continues. As in Envoy, continuing either direction takes the
    /// request's headers and trailers out of its reach.
    pub(crate) fn close_request_maps(&mut self) {
        self.request.headers_open = false;
        self.request.trailers_open = false;
    }

    /// The headers as the upstream sees them.
    pub(crate) fn upstream_headers(&self) -> Option<HeaderMap> {
        self.request.passed.as_ref().map(|passed| passed.headers.clone())
    }

    pub(crate) fn state(&self) -> RequestState {
        match &self.end {
            Some(End::Responded) => match (&self.local_response, self.proxy_response) {
                (_, Some(status)) => RequestState::AnsweredByProxy(status),
                (Some(response), None) => RequestState::Answered(response.clone()),
                (None, None) => RequestState::Done,
            },
            Some(End::Reset) => RequestState::Reset,
            Some(End::ClientLeft) => RequestState::ClientLeft,
            Some(End::Trapped(trap)) => RequestState::Trapped(trap.clone()),
            Some(End::FailedClosed) => RequestState::FailedClosed,
            None if self.response.started() => RequestState::Streaming,
            None if self.response.headers.is_some() => RequestState::ResponseHeld,
            None if self.request.started() && self.request.hold == Hold::Flowing => {
                RequestState::Forwarded
            }
            None => RequestState::Held,
        }
    }

    /// What became of a stream that is over.
    pub(crate) fn into_outcome(self) -> Outcome {
        let headers = self.upstream_headers();
        match (self.end, self.local_response, self.proxy_response) {
            (Some(End::Trapped(trap)), ..) => Outcome::Trap(trap),
            (Some(End::FailedClosed), ..) => Outcome::FailClosed,
            (Some(End::Reset), ..) => Outcome::Reset,
            (_, _, Some(status)) => Outcome::ProxyResponse { status },
            (_, Some(response), None) => Outcome::LocalResponse(response),
            (_, None, None) => match headers {
                Some(headers) => Outcome::Forwarded { headers },
                None => Outcome::Paused,
            },
        }
    }
}
