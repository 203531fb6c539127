//! Where a request is, and how it ended.

use crate::headers::HeaderMap;

/// A response that the filter gave instead of the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalResponse {
    /// HTTP status.
    pub status: u32,
    /// Details for Envoy's access log.
    pub details: String,
    /// The headers that the filter asked for; Envoy adds some.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// gRPC status, if the filter gave one.
    pub grpc_status: Option<i32>,
}

impl LocalResponse {
    /// The headers that go out: those that were asked for and what Envoy adds.
    pub(crate) fn wire_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::default();
        headers.add(":status", self.status.to_string());
        self.headers.iter().for_each(|(name, value)| headers.add(name, value));
        if !self.body.is_empty() {
            headers.replace("content-length", self.body.len().to_string());
            if headers.get("content-type").is_none() {
                headers.add("content-type", "text/plain");
            }
        }
        headers
    }
}

/// A request as its upstream got it, or a response as its client did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Headers, with `:status` or `:method` and their like.
    pub headers: HeaderMap,
    /// As much of the body as has arrived.
    pub body: Vec<u8>,
    /// Trailers, if there were any.
    pub trailers: Option<HeaderMap>,
    /// True when nothing more will come.
    pub complete: bool,
}

impl Message {
    /// The status of a response.
    pub fn status(&self) -> Option<u32> {
        std::str::from_utf8(self.headers.get(":status")?).ok()?.parse().ok()
    }
}

/// Where a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestState {
    /// The filter holds it: its headers, its body or its trailers.
    Held,
    /// Its headers are with the upstream, which has not answered.
    Forwarded,
    /// The filter holds the headers of the response.
    ResponseHeld,
    /// The client has the headers of the response, and not all of the rest.
    Streaming,
    /// Over: the filter answered it, and the client has the answer.
    Answered(LocalResponse),
    /// Over: the proxy itself answered it, with this status.
    AnsweredByProxy(u32),
    /// Over: the client has the whole response of the upstream.
    Done,
    /// Over: it was reset.
    Reset,
    /// Over: the client went away.
    ClientLeft,
    /// Over: the filter trapped on it. Envoy answers 503 or resets it.
    Trapped(String),
    /// Over: the VM that served it failed, or was replaced. Envoy answers 503, or
    /// resets it, when something next happens to it.
    FailedClosed,
}

impl RequestState {
    /// True when nothing can happen to the request any more.
    pub fn is_over(&self) -> bool {
        !matches!(self, Self::Held | Self::Forwarded | Self::ResponseHeld | Self::Streaming)
    }
}

/// How a request ended, in one word for tests of what the filter decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It went to the upstream.
    Forwarded {
        /// With these headers.
        headers: HeaderMap,
    },
    /// The filter answered it.
    LocalResponse(LocalResponse),
    /// The proxy itself answered it.
    ProxyResponse {
        /// HTTP status.
        status: u32,
    },
    /// The filter held it back and never let it go.
    Paused,
    /// The filter reset it.
    Reset,
    /// The filter trapped on it. Envoy answers 503.
    Trap(String),
    /// The VM had failed before. Envoy answers 503.
    FailClosed,
}

impl Outcome {
    /// The headers that the upstream saw, if it saw the request.
    pub fn forwarded(&self) -> Option<&HeaderMap> {
        match self {
            Self::Forwarded { headers } => Some(headers),
            _ => None,
        }
    }

    /// What the filter answered, if it did.
    pub fn local_response(&self) -> Option<&LocalResponse> {
        match self {
            Self::LocalResponse(response) => Some(response),
            _ => None,
        }
    }
}
